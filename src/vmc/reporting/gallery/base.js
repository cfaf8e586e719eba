// What all parts use: finding and making elements. Text is only ever set as text, never as markup.
const find = (id) => document.getElementById(id);
const json = (element) => JSON.parse(element.textContent);

function make(kind, properties = {}, ...children) {
  const element = document.createElement(kind);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

function draw(kind, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", kind);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function fill(select, options) {
  select.replaceChildren(...options.map(([value, text]) => make("option", { value, textContent: text })));
}

const remembered = {  // the browser may forbid it for files
  get(key) { try { return localStorage.getItem(`vmc-${key}`); } catch { return null; } },
  set(key, value) { try { localStorage.setItem(`vmc-${key}`, value); } catch { /* then it is not remembered */ } },
};
