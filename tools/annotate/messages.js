// What the page says to the person.

export const $ = (id) => document.getElementById(id);

// A button of the page.
export function button(label, act) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = label;
  made.addEventListener("click", act);
  return made;
}

// Show a sentence above the texts, with [label, what it does] for each button; none takes it away.
export function notice(words = "", actions = []) {
  const place = $("notice");
  if (place.dataset.words === words) return;
  place.dataset.words = words;
  place.hidden = !words;
  const said = document.createElement("p");
  said.textContent = words;
  const close = ["Close", () => { notice(); $("text").focus(); }];
  const buttons = (actions.length ? actions : [close]).map(([label, act]) => button(label, act));
  place.replaceChildren(...(words ? [said, ...buttons] : []));
}

// Show or take away that the server is not there, or what it said is wrong.
export function away(is, why) {
  const words = why ?? "The server does not answer. What you write is kept in this browser and sent when it is back.";
  $("away").hidden = !is;
  if ($("away").textContent !== words) $("away").textContent = words;
}

// Say beside the text whether it is saved: "" | "saved" | "saving" | "waiting" | "refused".
export function status(what) {
  const words = { "": "", saved: "saved", saving: "saving …", waiting: "not saved yet", refused: "not saved" };
  $("saved").textContent = words[what];
  $("saved").dataset.what = what;
}

// Tell a screen reader.
export function say(words) {
  $("said").textContent = words;
}

// A time of the log, as people here write it.
export function clock(time) {
  const then = new Date(time);
  const today = then.toDateString() === new Date().toDateString();
  return today ? then.toLocaleTimeString([], { timeStyle: "short" }) : then.toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
}

// Ask the server; null when there is no good answer, which the page then says.
export async function ask(address) {
  try {
    const answer = await fetch(address, { signal: AbortSignal.timeout(10000) });
    if (answer.ok) return await answer.json();
    if (answer.status < 500) notice((await answer.json()).detail);
    else away(true, "The server met an error: its terminal says which.");
  } catch {
    away(true);
  }
  return null;
}
