// One head over tokens: those that look on the left, those looked at on the right, lines between them.

const MOST_LINES = 3000; // the strongest
const FAINTEST = 0.03; // of the strongest: weaker lines are not drawn

class LinePanel {
  constructor(data, pointing, cell) {
    this.data = data;
    this.pointing = pointing;
    this.cell = cell;
    this.items = { query: [], key: [] };
    this.canvas = element("canvas", { "aria-hidden": "true" });
    this.lines = element("div", { class: "lines" },
      this.list("query", "looks"), element("div", { class: "between" }, this.canvas),
      this.list("key", "is looked at")); // prettier-ignore
    this.lines.addEventListener("keydown", (event) => walkItems(event, this.items));
    this.root = element("div", { class: "panel" });
    if (data.given.together) this.root.append(element("h4", {}, data.given.columns[cell.c]));
    this.root.append(this.lines);
  }

  list(side, title) {
    const { names, special } = this.data.side(this.cell, side);
    this.items[side] = this.data.shown(this.cell, side).map((item) =>
      itemButton(this.pointing, { side, item, name: names[item], special: special.includes(item) })); // prettier-ignore
    if (this.items[side].length) this.items[side][0].button.tabIndex = 0;
    const list = element("div", {
      class: `side ${side === "query" ? "from" : "to"}`, role: "group", "aria-label": title,
    }, ...this.items[side].map((one) => one.button)); // prettier-ignore
    return element("div", {}, element("p", { class: "heading" }, title), list);
  }

  draw() {
    this.drawItems();
    this.drawLines();
  }

  drawItems() {
    const { active, kept } = this.pointing;
    const shares = active ? this.data.shares(this.cell, active) : null;
    const most = shares ? Math.max(1e-9, ...shares.values()) : 1;
    for (const one of [...this.items.query, ...this.items.key]) {
      const share = shares && active.side !== one.side ? shares.get(one.item) : undefined;
      showItem(one, {
        active: this.pointing.is(one.side, one.item),
        kept,
        share: share === undefined ? 0 : (share / most).toFixed(3),
        text: share !== undefined && share >= 0.005 ? percent(share) : "",
      });
    }
  }

  drawLines() {
    const { active } = this.pointing;
    const box = this.canvas.getBoundingClientRect();
    const scale = devicePixelRatio || 1;
    if (!box.width) return;
    Object.assign(this.canvas, { width: box.width * scale, height: box.height * scale });
    const context = this.canvas.getContext("2d");
    context.scale(scale, scale);
    context.strokeStyle = getComputedStyle(this.lines).color;
    const all = this.weights(box.top);
    const top = all.reduce((found, [weight]) => Math.max(found, weight), 1e-9);
    const strongest = all.filter(([weight]) => weight >= FAINTEST * top).sort((a, b) => b[0] - a[0]);
    for (const [weight, from, to] of strongest.slice(0, MOST_LINES)) {
      const share = weight / top;
      context.globalAlpha = 0.04 + 0.85 * share ** (active ? 1 : 1.6);
      context.lineWidth = active ? 0.8 + 3.2 * share : 0.8 + 1.4 * share;
      context.beginPath();
      context.moveTo(0, from);
      context.bezierCurveTo(box.width * 0.45, from, box.width * 0.55, to, box.width, to);
      context.stroke();
    }
  }

  // Every weight that a line may show, with the heights at which it begins and ends.
  weights(above) {
    const middle = (one) => {
      const place = one.button.getBoundingClientRect();
      return place.top + place.height / 2 - above;
    };
    const { active } = this.pointing;
    const meant = (one) => active?.side !== one.side || active.item === one.item;
    const right = this.items.key.filter(meant).map((one) => [one.item, middle(one)]);
    const all = [];
    for (const one of this.items.query.filter(meant)) {
      const y = middle(one);
      for (const [key, other] of right) all.push([this.data.weight(this.cell, one.item, key), y, other]);
    }
    return all;
  }
}
