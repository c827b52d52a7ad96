/** Two helpers around the DOM. Text from data always goes in as text. */

/** The element of that id. */
export const $ = (id) => document.getElementById(id);

/** A new element: `on…` are listeners, `true` and `false` set and omit an attribute, children are nodes or text. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child != null && child !== false));
  return element;
}

/** Write a text where it has changed, so that nothing flickers and no screen reader repeats it. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
