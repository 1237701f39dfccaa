// One head over an image: its patches lie over the picture, and darken what is not looked at.

class PicturePanel {
  constructor(data, pointing, cell) {
    this.data = data;
    this.pointing = pointing;
    this.cell = cell;
    const { picture } = data.given;
    const { names, special } = data.side(cell, "key");
    const items = names.map((name, item) =>
      itemButton(pointing, { side: "query", item, name, special: special.includes(item) })); // prettier-ignore
    this.items = { query: items, key: [] };
    const chips = element("div", { class: "chips" });
    const patches = element("div", { class: "patches" });
    patches.style.gridTemplateColumns = `repeat(${picture.columns}, 1fr)`;
    for (const { button, item, name } of items) {
      if (item >= picture.before) {
        button.className = "patch";
        button.setAttribute("aria-label", name);
        button.replaceChildren();
        patches.append(button);
      } else if (data.special) chips.append(button);
    }
    items[0].button.tabIndex = 0;
    if (items[picture.before]) items[picture.before].button.tabIndex = 0;
    const shown = element("div", { class: "picture from" },
      element("img", { src: picture.address, alt: "The image as the model saw it" }), patches); // prettier-ignore
    shown.addEventListener("keydown", (event) => walkItems(event, this.items, picture.columns));
    this.root = element("div", { class: "panel" }, chips, shown);
  }

  draw() {
    const { active, kept } = this.pointing;
    const { before } = this.data.given.picture;
    const shares = active ? this.data.shares(this.cell, active) : this.data.means(this.cell);
    const most = Math.max(1e-9, ...[...shares].filter(([item]) => item >= before).map(([, share]) => share));
    for (const one of this.items.query) {
      const share = shares.get(one.item) ?? 0;
      showItem(one, {
        active: this.pointing.is(one.side, one.item),
        kept,
        share: Math.min(1, share / most).toFixed(3),
        text: percent(share),
      });
      one.button.title = `${one.name}: ${percent(share)}`;
    }
  }
}
