// Compares two texts word by word, by their longest common subsequence.

// The words and marks of a text, each with the space before it.
export function tokens(text, pattern) {
  const found = [];
  let end = 0;
  for (const match of text.matchAll(pattern)) {
    found.push({ text: match[0], gap: text.slice(end, match.index) });
    end = match.index + match[0].length;
  }
  return found;
}

// The steps from one list of tokens to another: [{kind: "kept" | "removed" | "added", text, gap}].
export function compare(before, after) {
  let start = 0;
  while (start < before.length && start < after.length && before[start].text === after[start].text) start++;
  let tail = 0;
  while (
    tail < Math.min(before.length, after.length) - start &&
    before[before.length - 1 - tail].text === after[after.length - 1 - tail].text
  ) tail++;
  const old = before.slice(start, before.length - tail);
  const fresh = after.slice(start, after.length - tail);
  const kept = (list) => list.map((token) => ({ ...token, kind: "kept" }));
  return [
    ...kept(after.slice(0, start)),
    ...steps(old, fresh),
    ...kept(after.slice(after.length - tail)),
  ];
}

function steps(old, fresh) {
  const width = fresh.length + 1;
  const longest = new Uint16Array((old.length + 1) * width);
  for (let i = old.length - 1; i >= 0; i--) {
    for (let j = fresh.length - 1; j >= 0; j--) {
      longest[i * width + j] = old[i].text === fresh[j].text
        ? longest[(i + 1) * width + j + 1] + 1
        : Math.max(longest[(i + 1) * width + j], longest[i * width + j + 1]);
    }
  }
  const found = [];
  let i = 0;
  let j = 0;
  while (i < old.length || j < fresh.length) {
    if (i < old.length && j < fresh.length && old[i].text === fresh[j].text) {
      found.push({ ...fresh[j++], kind: "kept" });
      i++;
    } else if (i < old.length && (j === fresh.length || longest[(i + 1) * width + j] >= longest[i * width + j + 1])) {
      found.push({ ...old[i++], kind: "removed" });
    } else {
      found.push({ ...fresh[j++], kind: "added" });
    }
  }
  return found;
}

// How many there are of each kind.
export function tally(changes) {
  const count = { kept: 0, added: 0, removed: 0 };
  for (const change of changes) count[change.kind]++;
  return count;
}

// Draw the steps into an element: what was added is underlined, what was removed struck out.
export function draw(changes, element) {
  const tags = { kept: "span", added: "ins", removed: "del" };
  const parts = [];
  for (const change of changes) {
    const last = parts.at(-1);
    if (last?.kind === change.kind) last.text += change.gap + change.text;
    else parts.push({ kind: change.kind, gap: change.gap, text: change.text });
  }
  element.replaceChildren();
  for (const [place, part] of parts.entries()) {
    const drawn = document.createElement(tags[part.kind]);
    drawn.textContent = part.text;
    const instead = part.kind === "added" && parts[place - 1]?.kind === "removed";
    element.append(place ? part.gap || (instead ? " " : "") : "", drawn);
  }
}
