// Draws every element of class head-view from the JSON in it: thumbnails of all heads, and the chosen one.
// The files before this one hold the parts. Text from the input only ever becomes textContent.

class HeadView {
  constructor(root, data) {
    this.root = root;
    this.data = data;
    this.given = data.given;
    this.cells = data.cells;
    this.pointing = new Pointing(() => this.drawPanels());
    this.model = new ModelView(data, (cell) => this.choose(cell));
    const panes = element("div", { class: `panes${this.given.together ? " together" : ""}` });
    panes.append(this.model.root, this.headPane());
    root.append(this.bar(), panes);
    root.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.pointing.letGo();
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.drawPanels());
    new ResizeObserver(() => this.drawPanels()).observe(this.panels);
    this.chosen = this.cells[this.given.start[0]][this.given.start[1]];
    this.choose(this.chosen);
  }

  // -- the controls

  bar() {
    const bar = element("div", { class: "bar" });
    if (Object.values(this.given.sides).some((side) => side.special.length)) bar.append(this.specialBox());
    if (this.given.picture) bar.append(...this.directions());
    return bar;
  }

  specialBox() {
    const box = element("input", { type: "checkbox", checked: "" });
    box.addEventListener("change", () => {
      this.data.special = box.checked;
      this.pointing.forget();
      this.model.redraw();
      this.fill();
    });
    return element("label", {}, box, ` ${this.given.toggle}`);
  }

  directions() {
    this.pointing.direction = "query";
    const name = `direction-${this.root.dataset.view}`;
    return [["query", "where it looks"], ["key", "who looks at it"]].map(([side, text]) => {
      const radio = element("input", { type: "radio", name, value: side });
      radio.checked = side === "query";
      radio.addEventListener("change", () => this.pointing.turn(side));
      return element("label", {}, radio, ` ${text}`);
    }); // prettier-ignore
  }

  chooser() {
    const select = (label, texts, chosen) => {
      const box = element("select", {});
      texts.forEach((text, value) => box.append(element("option", { value }, text)));
      box.addEventListener("change", () => chosen(Number(box.value)));
      return [element("label", {}, `${label} `, box), box];
    };
    const { rows, words, together, columns } = this.given;
    const [rowLabel, rowBox] = select(words[0], rows.map((row) => row.title), (r) =>
      this.choose(this.cells[r][Math.min(this.chosen.c, this.cells[r].length - 1)])); // prettier-ignore
    this.rowBox = rowBox;
    const chooser = element("div", { class: "chooser" }, rowLabel);
    if (!together) {
      const [label, box] = select(words[1], columns, (c) => this.choose(this.cells[this.chosen.r][c]));
      this.columnBox = box;
      chooser.append(label);
    }
    return chooser;
  }

  // -- the head view

  headPane() {
    this.title = element("h3", {});
    // below the tokens: a sentence that grows must not move them away from the pointer
    this.said = element("p", { class: "said", "aria-live": "polite" });
    this.panels = element("div", { class: "panels" });
    this.facts = element("div", { class: "panels" });
    return element("section", { class: "head", "aria-label": "Head view" },
      this.chooser(), this.title, this.panels, this.said, this.facts); // prettier-ignore
  }

  choose(cell) {
    const { row } = this.chosen;
    const sameSides = cell.row.queries === row.queries && cell.row.keys === row.keys;
    if (!sameSides || !this.pointing.kept) this.pointing.forget();
    this.chosen = cell;
    this.model.mark(cell);
    this.rowBox.value = cell.r;
    if (this.columnBox) this.columnBox.value = cell.c;
    this.fill();
  }

  // The heads side by side: one, or the whole row where checkpoints are compared.
  get open() {
    return this.given.together ? this.cells[this.chosen.r] : [this.chosen];
  }

  fill() {
    const { head, row } = this.chosen;
    this.title.replaceChildren(this.given.together ? row.title : head.name);
    if (head.role && !this.given.together) this.title.append(" ", element("span", { class: "role" }, head.role));
    const Panel = this.given.picture ? PicturePanel : LinePanel;
    this.drawn = this.open.map((cell) => new Panel(this.data, this.pointing, cell));
    this.panels.replaceChildren(...this.drawn.map((panel) => panel.root));
    this.facts.replaceChildren(...this.open.map((cell) => this.numbers(cell)));
    this.drawPanels();
  }

  numbers(cell) {
    const list = element("dl", { class: "numbers" });
    this.given.facts.forEach((name, place) => {
      const text = cell.head.facts[place];
      list.append(element("div", {}, element("dt", {}, name), element("dd", {}, text)));
    });
    const whose = this.given.together ? [element("h4", {}, this.given.columns[cell.c])] : [];
    return element("div", { class: "panel" }, ...whose, list);
  }

  drawPanels() {
    for (const panel of this.drawn ?? []) panel.draw();
    this.said.textContent = this.pointing.active
      ? this.open.map((cell) => this.sentence(cell)).join(" ")
      : this.invitation();
  }

  invitation() {
    const what = this.given.picture ? "patch" : "token";
    const now = this.given.picture ? "Bright: looked at, by all of them on average. " : "";
    return `${now}Point at a ${what}, or reach one with Tab and the arrow keys; Enter or a click keeps it, Escape lets go.`;
  }

  // Where the item that is pointed at looks in this head, or who looks at it.
  sentence(cell) {
    const { side, item } = this.pointing.active;
    const own = this.data.side(cell, side).names[item];
    const { names } = this.data.side(cell, side === "query" ? "key" : "query");
    const shares = this.data.shares(cell, this.pointing.active);
    const first = [...shares].sort((a, b) => b[1] - a[1]).slice(0, 3);
    const listed = first.map(([other, share]) => `${quoted(names[other])} ${percent(share)}`).join(", ");
    const rest = 1 - [...shares.values()].reduce((sum, share) => sum + share, 0);
    const who = this.given.together ? `${this.given.columns[cell.c]}: ` : "";
    const away = side === "query" && rest > 0.02 ? `; ${percent(rest)} goes to what is not shown` : "";
    const verb = side === "query" ? "looks most at" : "is looked at most by";
    return `${who}${quoted(own)} ${verb} ${listed}${away}.`;
  }
}

for (const root of document.querySelectorAll(".head-view")) {
  const given = JSON.parse(root.querySelector("script[type='application/json']").textContent);
  inflated(given.matrices).then(
    (bytes) => { root.view = new HeadView(root, new HeadData(given, bytes)); },
    () => root.append(element("p", {}, "This browser cannot unpack the heads; a newer one can.")),
  ); // prettier-ignore
}
