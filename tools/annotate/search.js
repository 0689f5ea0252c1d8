// The dialog that finds a picture by words of its name or its texts.

import { MARKS } from "/assets/list.js";
import { $, ask } from "/assets/messages.js";

const MOST = 200;

let hits = [];
let chosen = 0;
let pictures;
let current;
let show;

// Open it over a list; `key` is the picture on the page, and `shower` shows another one.
export function openSearch(list, key, shower) {
  [pictures, current, show] = [list, key, shower];
  $("searching").showModal();
  $("words").focus();
  $("words").select();
  search();
}

async function search() {
  const words = $("words").value;
  const found = await ask(`/api/search?words=${encodeURIComponent(words)}`);
  if (!found || words !== $("words").value) return;
  hits = found.map((key) => pictures.get(key)).filter(Boolean);
  const more = hits.length > MOST ? `, the first ${MOST} are shown` : "";
  $("hit-count").textContent = `${hits.length} of ${pictures.pictures.length}${more}`;
  hits = hits.slice(0, MOST);
  $("hits").replaceChildren(...hits.map((one, place) => {
    const item = document.createElement("li");
    item.id = `hit-${place}`;
    item.role = "option";
    item.textContent = `${MARKS[one.state]} ${one.path}`;
    item.addEventListener("click", () => take(place));
    return item;
  }));
  point(words ? 0 : hits.findIndex((one) => one.key === current));
}

function point(place) {
  if (!hits.length) return $("words").removeAttribute("aria-activedescendant");
  chosen = Math.min(Math.max(place, 0), hits.length - 1);
  for (const [number, item] of [...$("hits").children].entries()) item.ariaSelected = String(number === chosen);
  $("words").setAttribute("aria-activedescendant", `hit-${chosen}`);
  $(`hit-${chosen}`).scrollIntoView({ block: "nearest" });
}

function take(place) {
  $("searching").close();
  if (hits[place]) show(hits[place].key);
}

$("words").addEventListener("input", search);
$("words").addEventListener("keydown", (event) => {
  const moves = { ArrowDown: () => point(chosen + 1), ArrowUp: () => point(chosen - 1), Enter: () => take(chosen) };
  if (!moves[event.key] || event.isComposing) return;
  event.preventDefault();
  moves[event.key]();
});
