/* What the charts of curves share: how they are drawn, what is zoomed to, where one points. */

class CurveState extends EventTarget {
  constructor() {
    super();
    Object.assign(this, { view: "steps", log: null, members: false, chosen: null });
    this.zooms = { steps: null, epochs: null };
    this.points = { steps: null, epochs: null };
  }

  /** Changes how everything is drawn. */
  set(changes) {
    Object.assign(this, changes);
    this.dispatchEvent(new Event("change"));
  }

  /** Shows what is from `from` to `to` of an axis; nothing more is chosen, unless it is this that was. */
  zoom(axis, from, to, chosen = null) {
    this.zooms[axis] = [Math.min(from, to), Math.max(from, to)];
    this.set({ chosen });
  }

  reset(axis) {
    this.zooms[axis] = null;
    this.set({ chosen: null });
  }

  /** Moves the cursor, which is drawn again by itself. */
  point(axis, step, { said = false } = {}) {
    this.points[axis] = step;
    this.said = said;
    this.dispatchEvent(new Event("point"));
  }
}
