// What all parts use: finding and making elements. Text is only ever set as text, never as markup.
const find = (id) => document.getElementById(id);
const json = (element) => JSON.parse(element.textContent);
const SVG = "http://www.w3.org/2000/svg";

function furnish(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (name in element && element.namespaceURI !== SVG) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

const make = (kind, properties = {}, ...children) => furnish(document.createElement(kind), properties, children);
const draw = (kind, attributes = {}, ...children) => furnish(document.createElementNS(SVG, kind), attributes, children);
const spans = (marks) => marks.map(([className, textContent]) => make("span", { className, textContent }));
const fill = (select, options) => select.replaceChildren(...options.map(([value, textContent]) => make("option", { value, textContent })));
const shownNumber = (value, digits) => value.toFixed(digits).replace("-", "−");
