// Sends edits to the server, one after the other. Each is kept in this browser until the server has confirmed it, so a
// server that dies, or a page that is closed, loses nothing: the next page under this address sends what is left.

const PATIENCE = 2000; // milliseconds until an unanswered edit is sent again

export class Outbox {
  // `seen` maps a picture's key to the id of its last event that the person has seen. `heard` is told what became of an edit:
  // ("saving" | "saved" | "waiting" | "refused", edit, what the server said).
  constructor(prefix, seen, heard) {
    this.prefix = prefix;
    this.seen = seen;
    this.heard = heard;
    this.waiting = [];
    this.sending = null;
    for (const name of Object.keys(localStorage)) {
      if (name.startsWith(prefix)) this.waiting.push(JSON.parse(localStorage.getItem(name)));
    }
    this.waiting.sort((one, other) => one.at - other.at);
  }

  get size() {
    return this.waiting.length + (this.sending ? 1 : 0);
  }

  // The newest edit of a picture that is not confirmed yet.
  of(key) {
    return this.waiting.findLast((edit) => edit.key === key) ?? (this.sending?.key === key ? this.sending : undefined);
  }

  put(key, body) {
    const last = this.waiting.at(-1);
    let seconds = body.seconds;
    if (last?.key === key && last.body.state === "draft" && !last.tried) {
      seconds += last.body.seconds; // the newer text takes the place of a draft that has not left
      this.forget(this.waiting.pop());
    }
    const edit = { key, at: Date.now(), body: { id: crypto.randomUUID(), after: this.seen.get(key) ?? "", ...body, seconds } };
    this.keep(edit);
    this.waiting.push(edit);
    this.heard("saving", edit);
    this.flush();
  }

  keep(edit) {
    try {
      localStorage.setItem(this.prefix + edit.body.id, JSON.stringify(edit));
    } catch {
      // A full or forbidden storage: the edit is in memory, and the page says that it is not saved.
    }
  }

  forget(edit) {
    localStorage.removeItem(this.prefix + edit.body.id);
  }

  async flush() {
    if (this.sending || !this.waiting.length) return;
    clearTimeout(this.timer);
    const edit = this.waiting.shift();
    this.sending = edit;
    edit.tried = true;
    edit.body.after = this.seen.get(edit.key) ?? edit.body.after;
    let answer;
    let said = null;
    try {
      answer = await fetch(`/api/pictures/${edit.key}`, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify(edit.body),
        keepalive: edit.body.text.length < 15000,
        signal: AbortSignal.timeout(10000),
      });
      said = await answer.json();
    } catch {
      answer = null;
    }
    this.sending = null;
    if (answer?.ok) {
      this.forget(edit);
      if (!said.clash) this.seen.set(edit.key, edit.body.id);
      this.heard("saved", edit, said);
    } else if (answer && [403, 404, 422].includes(answer.status)) {
      this.heard("refused", edit, said); // what was written stays in this browser
    } else {
      this.waiting.unshift(edit);
      this.heard("waiting", edit, answer?.status === 409 ? { stale: true } : said);
      this.timer = setTimeout(() => this.flush(), PATIENCE);
      return;
    }
    this.flush();
  }
}
