// The pictures in order, and where each stands.

export const MARKS = { "to do": "○", draft: "◐", accepted: "✓", skipped: "–" };

export const unfinished = (one) => one.state === "to do" || one.state === "draft";

// What a filter lets through.
export function fits(filter) {
  if (filter === "all") return () => true;
  if (filter === "unfinished") return unfinished;
  if (filter === "contested") return (one) => one.contested;
  return (one) => one.state === filter;
}

export class List {
  constructor(outbox) {
    this.outbox = outbox;
    this.pictures = [];
    this.places = new Map();
    this.events = 0; // how many events of the log are known here
  }

  take(answer) {
    this.pictures = answer.pictures;
    this.events = answer.seen;
    this.places = new Map(this.pictures.map((one, place) => [one.key, place]));
  }

  get(key) {
    return this.pictures[this.places.get(key)];
  }

  get done() {
    return this.pictures.filter((one) => !unfinished(one)).length;
  }

  // Take in what the server says of some pictures; a decision that is still on its way there holds.
  merge(lines) {
    for (const line of lines) {
      const one = this.get(line.key);
      const waiting = this.outbox.of(line.key);
      if (!one) continue;
      one.state = waiting && waiting.body.state !== "draft" ? waiting.body.state : line.state;
      one.contested = line.contested;
    }
  }

  // The next picture after `key` that is let through, forwards (1) or back (-1), round the end if `wrap`.
  following(key, lets, step, wrap) {
    for (let distance = 1; distance < this.pictures.length; distance++) {
      let place = this.places.get(key) + step * distance;
      if (wrap) place = (place + this.pictures.length) % this.pictures.length;
      if (place < 0 || place >= this.pictures.length) return undefined;
      if (lets(this.pictures[place])) return this.pictures[place];
    }
    return undefined;
  }
}
