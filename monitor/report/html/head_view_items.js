// Tokens and patches that can be pointed at, by mouse, by touch and by keys.

// What is pointed at: `active` is {side: "query" | "key", item} or null; `kept` by a click until let go.
class Pointing {
  constructor(changed) {
    this.active = null;
    this.kept = false;
    this.direction = null; // the side that is always meant, where both are one picture
    this.changed = changed;
  }

  at(side, item) {
    this.active = { side: this.direction ?? side, item };
    this.changed();
  }

  letGo() {
    this.forget();
    this.changed();
  }

  // As letting go, for who draws it all anew anyway.
  forget() {
    this.active = null;
    this.kept = false;
  }

  is(side, item) {
    return this.active?.side === (this.direction ?? side) && this.active.item === item;
  }

  turn(direction) {
    this.direction = direction;
    if (this.active) this.active.side = direction;
    this.changed();
  }

  // A click on what is kept already lets it go.
  toggle(side, item) {
    if (this.kept && this.is(side, item)) {
      this.letGo();
    } else {
      this.kept = true;
      this.at(side, item);
    }
  }
}

// The button of one item: {button, share (its element for a number), side, item, name}.
const itemButton = (pointing, { side, item, name, special }) => {
  const share = element("span", { class: "share" });
  const button = element("button", {
    type: "button", class: `item${special ? " special" : ""}`, tabindex: "-1", "aria-pressed": "false",
  }, element("span", { class: "text" }, name), share); // prettier-ignore
  button.addEventListener("mouseenter", () => pointing.kept || pointing.at(side, item));
  button.addEventListener("mouseleave", () => pointing.kept || pointing.letGo());
  button.addEventListener("focus", () => {
    if (!pointing.kept && button.matches(":focus-visible")) pointing.at(side, item);
  });
  button.addEventListener("click", () => pointing.toggle(side, item));
  return { button, share, side, item, name };
};

// `share` within [0, 1] of the strongest, `text` in the item's place for a number.
const showItem = (one, { active, kept, share, text }) => {
  one.button.classList.toggle("active", active);
  one.button.setAttribute("aria-pressed", String(active && kept));
  one.button.style.setProperty("--share", share);
  one.share.textContent = text;
};

// Arrow keys among `items` ({query: [...], key: [...]}): along a list and across to the other one, or over a
// picture's patches, of which `across` stand in a row.
const walkItems = (event, items, across) => {
  const side = document.activeElement.closest(".from") ? "query" : "key";
  const place = items[side].findIndex((one) => one.button === document.activeElement);
  if (place < 0) return;
  const steps = { ArrowUp: -(across ?? 1), ArrowDown: across ?? 1 };
  if (across) Object.assign(steps, { ArrowLeft: -1, ArrowRight: 1 });
  let target = items[side][place + (steps[event.key] ?? 0)];
  if (!across && (event.key === "ArrowLeft" || event.key === "ArrowRight")) {
    const other = items[event.key === "ArrowLeft" ? "query" : "key"];
    target = other[Math.min(place, other.length - 1)];
  } else if (!(event.key in steps)) return;
  event.preventDefault();
  if (!target) return;
  for (const one of items[target.side]) one.button.tabIndex = one === target ? 0 : -1;
  target.button.focus();
};
