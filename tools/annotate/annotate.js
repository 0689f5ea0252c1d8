// The page: shows one picture at a time, saves what is typed, and moves on by keys or buttons.

import { compare, draw, tally, tokens } from "/assets/diff.js";
import { List, MARKS, fits, unfinished } from "/assets/list.js";
import { $, ask, away, button, clock, notice, say, status } from "/assets/messages.js";
import { Outbox } from "/assets/outbox.js";
import { openSearch } from "/assets/search.js";
import "/assets/theme.js";
import { Zoom } from "/assets/zoom.js";

const PAUSE = 300; // milliseconds without a key until a draft is saved
const LOOK = 3000; // milliseconds between looks for what other pages have saved
const IDLE = 30000; // milliseconds without a sign of life after which no work is counted

const settings = JSON.parse($("settings").textContent);
const TOKENS = new RegExp(settings.tokens, "gu");
const MARK = new RegExp(`^[${settings.marks}]$`, "u");
const text = $("text");

let shown = null; // the picture on the page
let coming = null; // the one that is to be shown next, while the server is asked
let wanted = null; // what could not be shown, because the server was away
let pause;
let work = 0; // seconds at this picture that were not sent yet
let alive = Date.now();

const seen = new Map(); // by picture, the last event that the person has seen
const mine = new Set(); // the events of this page
const outbox = new Outbox(`tenfold:${settings.store}:${settings.round}:${settings.by}:`, seen, heard);
const list = new List(outbox);
const zoom = new Zoom($("frame"), $("picture"), (scale) => { $("scale").textContent = scale; });

// ---------------------------------------------------------------- one picture

async function show(key) {
  saveDraft();
  notice();
  coming = key;
  text.readOnly = true; // what is typed now is meant for the next picture
  const answer = await ask(`/api/pictures/${key}`);
  if (coming !== key) return;
  coming = null;
  text.readOnly = false;
  wanted = answer ? null : key;
  if (!answer) return;
  present(answer);
  if (!matchMedia("(pointer: coarse)").matches) {
    text.focus({ preventScroll: true });
    text.setSelectionRange(text.value.length, text.value.length);
  }
  scrollTo(0, 0);
  text.closest(".scrolls").scrollTop = 0;
  say(`${shown.path}, ${$("position").textContent}, ${list.get(key).state}`);
}

function present(answer) {
  work = 0;
  shown = { ...answer, edited: false };
  list.merge([answer]);
  const waiting = outbox.of(shown.key);
  text.disabled = false;
  text.value = waiting ? waiting.body.text : shown.text;
  shown.saved = text.value;
  if (!waiting) seen.set(shown.key, shown.latest);
  history.replaceState(null, "", `#${shown.key}`);
  $("path").textContent = shown.path;
  const address = `/picture/${shown.sha256}`;
  if ($("picture").getAttribute("src") !== address) {
    $("unseen").hidden = true;
    $("picture").hidden = false;
    $("picture").src = address;
    $("picture").alt = `The picture ${shown.path}`;
    zoom.fit();
  }
  const before = shown.previous;
  const how = before.state === "draft" ? ", not accepted" : "";
  const whom = before.by === settings.by ? "you; somebody else should edit it" : before.by;
  $("compared").textContent = before.round ? `Changes from round ${before.round} (${whom}${how})` : "Changes from the alt-text";
  if (shown.changed_picture) notice("This picture has changed since its text was written: look whether the text still holds.");
  if (shown.contested) contest(shown);
  settle();
  showVersions();
  redraw();
  tell();
  const next = list.pictures[list.places.get(shown.key) + 1];
  if (next) new Image().src = `/picture/${next.sha256}`;
}

// Compare the text in the box with the round before, and with the alt-text.
function redraw() {
  const now = tokens(text.value, TOKENS);
  const before = tokens(shown.previous.text, TOKENS);
  const changes = compare(before, now);
  draw(changes, $("diff"));
  const isWord = (token) => !MARK.test(token.text);
  const count = tally(compare(before.filter(isWord), now.filter(isWord)));
  const same = changes.every((change) => change.kind === "kept");
  $("tally").textContent = same ? "nothing changed" : `${count.kept} kept, ${count.added} added, ${count.removed} removed`;
  if (!changes.length) $("diff").textContent = "–";
  const atStart = text.value === shown.previous.text;
  $("undo-word").textContent = atStart && shown.mine !== undefined ? "Redo" : "Undo all";
  $("undo").disabled = atStart && shown.mine === undefined;
  const there = new Set(now.map((token) => token.text.toLowerCase()));
  $("alt").replaceChildren(...tokens(shown.alt, TOKENS).flatMap((token) => {
    const part = document.createElement("span");
    part.textContent = token.text;
    if (shown.previous.round && isWord(token) && !there.has(token.text.toLowerCase())) {
      part.className = "missing";
      part.title = "not in your text";
    }
    return [token.gap, part];
  }));
  if (!shown.alt) $("alt").textContent = "There is none.";
  $("alt").classList.toggle("none", !shown.alt);
}

function showVersions() {
  $("history").hidden = !shown.versions.length;
  $("history-count").textContent = shown.versions.length;
  $("versions").replaceChildren(...shown.versions.map((version) => {
    const item = document.createElement("li");
    const head = document.createElement("p");
    head.className = "quiet";
    head.textContent = `${version.by}, ${clock(version.time)}, ${version.state}`;
    const body = document.createElement("p");
    body.dir = "auto";
    body.textContent = version.text || "(empty)";
    const use = button("Use this text", () => { replace(version.text); text.focus(); });
    item.append(head, body, ...(version.text === text.value ? [] : [use]));
    return item;
  }));
}

// Progress, and the place of the picture on the page among those of the filter.
function tell() {
  $("progress").max = list.pictures.length || 1;
  $("progress").value = list.done;
  $("count").textContent = `${list.done} of ${list.pictures.length} done`;
  const one = list.get(shown?.key);
  if (!one) return;
  $("state").textContent = `${MARKS[one.state]} ${one.state}${one.contested ? ", in conflict" : ""}`;
  $("state").dataset.state = one.contested ? "contested" : one.state;
  const kept = list.pictures.filter(fits($("filter").value));
  const place = kept.indexOf(one) + 1;
  $("position").textContent = place ? `${place} of ${kept.length}` : "";
}

// ---------------------------------------------------------------- saving

function replace(value) {
  text.value = value;
  text.dispatchEvent(new Event("input"));
}

function typed() {
  shown.edited = true;
  redraw();
  clearTimeout(pause);
  pause = setTimeout(saveDraft, PAUSE);
  if (text.value !== shown.saved) status("saving");
}

function saveDraft() {
  clearTimeout(pause);
  if (shown && text.value !== shown.saved) put("draft");
  else settle();
}

function put(state) {
  const value = text.value.toWellFormed?.() ?? text.value;
  shown.saved = text.value;
  const seconds = Math.min(work, 3600);
  work = 0;
  outbox.put(shown.key, { round: settings.round, by: settings.by, sha256: shown.sha256, state, text: value, seconds });
}

// Say whether the text on the page is saved, when nothing else is to be said.
function settle() {
  if (!shown || text.value !== shown.saved) return;
  status(outbox.size ? "saving" : shown.latest ? "saved" : "");
}

function heard(what, edit, said) {
  mine.add(edit.body.id);
  const here = shown?.key === edit.key;
  if (what === "saved") {
    away(false);
    list.merge([said]);
    if (here) {
      shown.latest = said.latest;
      shown.versions = said.versions;
      showVersions();
    }
    if (said.clash) clash(edit);
    tell();
    settle();
  } else if (what === "waiting") {
    status("waiting");
    if (said?.stale) look();
    else away(true, said?.detail);
  } else if (what === "refused") {
    const why = typeof said?.detail === "string" ? said.detail : "The server did not take the text.";
    notice(`Not saved: ${why} What you wrote: “${edit.body.text}”`, [
      ["Drop it", () => { outbox.forget(edit); notice(); settle(); }],
      ["Close", () => notice()],
    ]);
    if (here) status("refused");
  } else {
    status("saving");
  }
}

// ---------------------------------------------------------------- two at once

// An edit of this page has met one that it had not seen.
async function clash(edit) {
  if (shown?.key === edit.key) {
    const answer = await ask(`/api/pictures/${edit.key}`);
    if (answer && shown?.key === edit.key) contest(answer);
    return;
  }
  const { path } = list.get(edit.key);
  notice(`Another text was written for ${path} at the same time. Both are kept; the one accepted last counts.`, [
    ["Look at it", () => show(edit.key)],
    ["Close", () => notice()],
  ]);
}

function contest(answer) {
  shown.latest = answer.latest;
  shown.versions = answer.versions;
  showVersions();
  const seenAll = () => { seen.set(shown.key, shown.latest); notice(); text.focus(); };
  const other = answer.versions.find((version) => version.text.trim() !== text.value.trim());
  if (!other) {
    seen.set(shown.key, shown.latest);
    return;
  }
  const who = other.by === settings.by ? "Another page of yours" : other.by;
  const did = { accepted: "accepted", draft: "wrote", skipped: "skipped the picture with" }[other.state];
  notice(`${who} ${did} another text at ${clock(other.time)}: “${other.text}” Both are kept; the one accepted last counts.`, [
    ["Take that one", () => { seenAll(); replace(other.text); }],
    ["Keep mine", seenAll],
  ]);
}

// See what other pages have saved, and whether the server is there.
async function look() {
  if (document.visibilityState !== "visible") return;
  const answer = await ask(`/api/changes?seen=${list.events}`);
  if (!answer) return;
  if (answer.round !== settings.round || answer.by !== settings.by) {
    away(false);
    const kept = outbox.size ? ` What is not saved stays in this browser until it runs round ${settings.round} for ${settings.by} here.` : "";
    notice(`The server now runs round ${answer.round} for ${answer.by}.${kept}`, [["Reload", () => location.reload()]]);
    return;
  }
  if (!outbox.size) away(false);
  outbox.flush();
  if (answer.seen < list.events) await load();
  list.events = answer.seen;
  list.merge(answer.pictures);
  tell();
  if (wanted) show(wanted);
  const line = answer.pictures.find((one) => one.key === shown?.key);
  if (!line || mine.has(line.latest) || line.latest === shown.latest || outbox.of(line.key)) return;
  const fresh = await ask(`/api/pictures/${line.key}`);
  if (!fresh || fresh.key !== shown.key) return;
  if (shown.edited) {
    contest(fresh);
  } else {
    present(fresh);
    say("This text was changed on another page.");
  }
}

async function load() {
  const answer = await ask("/api/pictures");
  if (answer) list.take(answer);
  return answer;
}

// ---------------------------------------------------------------- going about

function go(step) {
  const one = list.following(coming ?? shown.key, fits($("filter").value), step, false);
  if (one) show(one.key);
  else notice(step > 0 ? "This is the last one." : "This is the first one.");
}

// After a decision: the next one to do, or the next one of the filter.
function goOn() {
  const filter = $("filter").value;
  const one = list.following(shown.key, filter === "all" ? unfinished : fits(filter), 1, true);
  if (one) show(one.key);
  else if (list.pictures.some(unfinished)) notice("No other picture is in this selection.", [["Show all", () => choose("all")]]);
  else notice(`Round ${settings.round} is done. Somebody else can go on with --round ${settings.round + 1}.`);
}

function nextUnfinished() {
  const one = list.following(shown.key, unfinished, 1, true);
  if (one) show(one.key);
  else notice(list.pictures.some(unfinished) ? "Only this one is left." : "All pictures are accepted or skipped.");
}

function choose(filter) {
  $("filter").value = filter;
  notice();
  tell();
  if (fits(filter)(list.get(shown.key))) return;
  const one = list.following(shown.key, fits(filter), 1, true);
  if (one) show(one.key);
  else notice(`No picture is ${$("filter").selectedOptions[0].textContent}.`);
}

function decide(state) {
  if (coming) return; // a key pressed twice must not decide on what nobody has seen
  clearTimeout(pause);
  if (state === "accepted" && !text.value.trim()) {
    notice("There is no text to accept: write one, or skip the picture.");
    return;
  }
  put(state);
  list.get(shown.key).state = state;
  tell();
  goOn();
}

function undo() {
  if (coming) return;
  const start = shown.previous.text;
  if (text.value !== start) {
    shown.mine = text.value;
    replace(start);
  } else if (shown.mine !== undefined) {
    replace(shown.mine);
  }
  text.focus();
}

const find = () => openSearch(list, shown.key, show);
const keys = () => $("keys").showModal();

const ALT = {
  s: () => decide("skipped"), u: undo, n: nextUnfinished, ArrowLeft: () => go(-1), ArrowRight: () => go(1),
  "+": () => zoom.larger(), "=": () => zoom.larger(), "-": () => zoom.smaller(), 0: () => zoom.fit(), "/": find, "?": keys,
};
const CLICKS = {
  accept: () => decide("accepted"), skip: () => decide("skipped"), undo, back: () => go(-1), forward: () => go(1),
  unfinished: nextUnfinished, search: find, help: keys,
  larger: () => zoom.larger(), smaller: () => zoom.smaller(), fit: () => zoom.fit(),
};

function pressed(event) {
  alive = Date.now();
  if (!shown || event.isComposing || document.querySelector("dialog[open]")) return;
  const command = event.ctrlKey || event.metaKey;
  const field = event.target.closest("textarea, input, select");
  let act;
  if (command && event.key === "Enter") act = () => decide("accepted");
  else if (event.altKey && !command) act = ALT[event.key] ?? ALT[event.key.toLowerCase()] ?? ALT[byPlace(event)];
  else if (command) return;
  else if (event.key === "Escape" && field === text) act = () => $("frame").focus();
  else if (!field && (event.key === "/" || event.key === "?")) act = ALT[event.key];
  else if (!field && event.key === "Enter" && !event.target.closest("button, summary")) act = () => text.focus();
  if (!act) return;
  event.preventDefault();
  act();
}

// Where Alt types other signs, as on a Mac, the key's place says what was meant.
function byPlace(event) {
  return { KeyS: "s", KeyU: "u", KeyN: "n", Equal: "+", Minus: "-", Digit0: "0", Slash: event.shiftKey ? "?" : "/" }[event.code];
}

// ---------------------------------------------------------------- the start

for (const [id, act] of Object.entries(CLICKS)) $(id).addEventListener("click", () => shown && act());
text.addEventListener("input", typed);
document.addEventListener("keydown", pressed);
$("filter").addEventListener("change", () => shown && choose($("filter").value));
$("picture").addEventListener("error", () => { $("picture").hidden = true; $("unseen").hidden = false; });
for (const sign of ["pointermove", "pointerdown", "wheel"]) document.addEventListener(sign, () => { alive = Date.now(); }, { passive: true });
setInterval(() => { if (document.hasFocus() && Date.now() - alive < IDLE) work += 1; }, 1000);
addEventListener("pagehide", saveDraft);
document.addEventListener("visibilitychange", () => (document.visibilityState === "hidden" ? saveDraft() : look()));

await outbox.flush();
const start = await load();
if (start) {
  tell();
  const asked = list.get(location.hash.slice(1));
  const last = list.get(start.last);
  const next = unfinished(last) ? last : list.following(last.key, unfinished, 1, true);
  await show((asked ?? next ?? last).key);
}
setInterval(look, LOOK);
