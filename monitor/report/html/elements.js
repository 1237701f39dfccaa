// Elements of the page, and numbers and names as its sentences write them.

const element = (tag, attributes = {}, ...children) => {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children); // text among them stays text
  return made;
};

const percent = (share) => (share >= 0.995 ? "100 %" : `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %`);
const quoted = (name) => `‘${name}’`;
