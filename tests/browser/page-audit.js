// Runs in the page: what a person who uses a screen reader, or has weak eyes, would stumble over. Its value is a list of
// sentences, empty when all is well. Plain JavaScript, since it is sent to the browser as it is.
(() => {
  const found = [];
  const describe = (element) => element.outerHTML.replace(/\s+/g, ' ').slice(0, 90);
  const isShown = (element) => element.checkVisibility({ visibilityProperty: true }) && element.getClientRects().length > 0;

  if (document.documentElement.lang === '') found.push('the page has no language');
  if (document.title === '') found.push('the page has no title');
  if (document.querySelectorAll('main').length !== 1) found.push('the page has not exactly one main part');
  if (document.querySelectorAll('h1').length !== 1) found.push('the page has not exactly one h1');

  const ids = [...document.querySelectorAll('[id]')].map((element) => element.id);
  for (const id of new Set(ids)) if (ids.filter((each) => each === id).length > 1) found.push(`the id ${id} is there twice`);
  for (const attribute of ['aria-labelledby', 'aria-describedby', 'aria-controls', 'for']) {
    for (const element of document.querySelectorAll(`[${attribute}]`)) {
      for (const id of element.getAttribute(attribute).split(/\s+/))
        if (!ids.includes(id)) found.push(`${attribute} names ${id}, which is not there: ${describe(element)}`);
    }
  }
  for (const control of document.querySelectorAll('input, select, textarea')) {
    if (!isShown(control)) continue;
    if (control.labels.length === 0 && !control.hasAttribute('aria-label')) found.push(`no label: ${describe(control)}`);
  }
  for (const control of document.querySelectorAll('button, a[href], summary')) {
    if (control.textContent.trim() === '' && !control.hasAttribute('aria-label')) found.push(`no name: ${describe(control)}`);
  }
  for (const icon of document.querySelectorAll('svg'))
    if (icon.getAttribute('aria-hidden') !== 'true') found.push(`an icon without words: ${describe(icon)}`);
  let level = 0;
  for (const heading of document.querySelectorAll('h1, h2, h3, h4')) {
    const next = Number(heading.tagName[1]);
    if (next > level + 1) found.push(`a heading is passed over before: ${describe(heading)}`);
    level = next;
  }
  for (const table of document.querySelectorAll('table')) {
    if (!table.hasAttribute('aria-label') && !table.hasAttribute('aria-labelledby')) found.push('a table has no name');
    for (const header of table.querySelectorAll('thead th')) if (header.scope !== 'col') found.push(`a header without scope: ${describe(header)}`);
  }

  // WCAG 2.2, 1.4.3: 4.5 to 1 for text of this size.
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const ground = (element) => {
    for (let at = element; at !== null; at = at.parentElement) {
      const colour = rgba(getComputedStyle(at).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255, 255];
  };
  const luminance = (colour) => {
    const [r, g, b] = colour.slice(0, 3).map((part) => (part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const seen = new Set();
  for (let node = walker.nextNode(); node !== null; node = walker.nextNode()) {
    const element = node.parentElement;
    if (node.textContent.trim() === '' || seen.has(element) || !isShown(element) || element.closest('.unseen, noscript, :disabled') !== null)
      continue;
    seen.add(element);
    const [light, dark] = [luminance(rgba(getComputedStyle(element).color)), luminance(ground(element))].toSorted((a, b) => b - a);
    const ratio = (light + 0.05) / (dark + 0.05);
    if (ratio < 4.5) found.push(`contrast ${ratio.toFixed(2)}: ${describe(element)}`);
  }
  return found;
})();
