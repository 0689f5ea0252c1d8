// Fits the picture into its frame, or shows it larger, to be moved by scrolling or dragging.

const LARGEST_FIT = 6; // a small drawing is blown up at most so much
const STEP = 1.25;

export class Zoom {
  constructor(frame, picture, shown) {
    this.frame = frame;
    this.picture = picture;
    this.shown = shown;
    this.scale = null; // null: fit
    new ResizeObserver(() => this.lay()).observe(frame);
    picture.addEventListener("load", () => this.lay());
    frame.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    frame.addEventListener("dblclick", () => this.set(this.scale === null ? Math.max(1, this.fitted() * 2) : null));
    frame.addEventListener("pointerdown", (event) => this.drag(event));
  }

  size() {
    return [this.picture.naturalWidth || 512, this.picture.naturalHeight || 512];
  }

  fitted() {
    const [width, height] = this.size();
    return Math.min(this.frame.clientWidth / width, this.frame.clientHeight / height, LARGEST_FIT);
  }

  by(factor) {
    this.set((this.scale ?? this.fitted()) * factor);
  }

  larger() {
    this.by(STEP);
  }

  smaller() {
    this.by(1 / STEP);
  }

  fit() {
    this.set(null);
  }

  // Change the scale and keep the point at (x, y) of the frame where it is; by default its middle.
  set(scale, x = this.frame.clientWidth / 2, y = this.frame.clientHeight / 2) {
    const before = this.scale ?? this.fitted();
    const fitted = this.fitted();
    this.scale = scale === null || scale <= fitted * 1.001 ? null : Math.min(scale, 40);
    const factor = (this.scale ?? fitted) / before;
    const left = (this.frame.scrollLeft + x) * factor - x;
    const top = (this.frame.scrollTop + y) * factor - y;
    this.lay();
    this.frame.scrollTo(left, top);
  }

  lay() {
    const scale = this.scale ?? this.fitted();
    const [width, height] = this.size();
    this.picture.style.width = `${Math.floor(width * scale)}px`;
    this.picture.style.height = `${Math.floor(height * scale)}px`;
    this.frame.classList.toggle("zoomed", this.scale !== null);
    this.shown(this.scale === null ? "fit" : `${Math.round(scale * 100)} %`);
  }

  wheel(event) {
    if (!event.ctrlKey) return;
    event.preventDefault();
    const box = this.frame.getBoundingClientRect();
    this.set((this.scale ?? this.fitted()) * Math.exp(-event.deltaY / 200), event.clientX - box.left, event.clientY - box.top);
  }

  drag(start) {
    if (this.scale === null || start.button !== 0 || start.pointerType !== "mouse") return;
    const { scrollLeft, scrollTop } = this.frame;
    this.frame.setPointerCapture(start.pointerId);
    const move = (event) => this.frame.scrollTo(scrollLeft + start.clientX - event.clientX, scrollTop + start.clientY - event.clientY);
    this.frame.addEventListener("pointermove", move);
    this.frame.addEventListener("lostpointercapture", () => this.frame.removeEventListener("pointermove", move), { once: true });
  }
}
