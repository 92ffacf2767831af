// What is looked at within a page: these run in the browser.

/** Text whose contrast to what is behind it is too low (WCAG 2.2, 1.4.3). */
export function lowContrast() {
  const parse = color => {
    const parts = color.match(/[\d.]+/g).map(Number);
    return parts.length < 4 ? [...parts, 1] : parts;
  };
  const luminance = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map(part => (part /= 255) <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = element => {
    for (let at = element; at; at = at.parentElement) {
      const color = parse(getComputedStyle(at).backgroundColor);
      if (color[3] === 1) return color;
    }
    return [255, 255, 255, 1];
  };
  const found = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let seen = 0;
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility() || element.closest('script, title, desc')) continue;
    seen += 1;
    const style = getComputedStyle(element);
    const color = parse(element instanceof SVGElement ? style.fill : style.color);
    const [light, dark] = [luminance(color), luminance(behind(element))].sort((a, b) => b - a);
    const ratio = (light + 0.05) / (dark + 0.05);
    if (ratio < 4.5) found.push(`${walker.currentNode.data.trim().slice(0, 40)}: ${ratio.toFixed(2)}`);
  }
  return { seen, found };
}

/** What has no name, no header or no label where it needs one. */
export function unnamed() {
  const found = [];
  const all = selector => [...document.querySelectorAll(selector)];
  for (const table of all('table')) {
    if (!table.caption?.textContent) found.push('a table without a caption');
    if (!table.querySelector('thead th[scope=col]') || table.querySelector('thead td')) found.push('a table without column headers');
    if (all('tbody tr').some(row => row.cells[0].tagName !== 'TH')) found.push('a row without a header');
  }
  for (const field of all('input, select, textarea, meter')) {
    if (!field.labels?.length && !field.getAttribute('aria-label')) found.push(`${field.tagName} ${field.id} without a label`);
  }
  for (const picture of all('svg:not([aria-hidden])')) {
    const texts = (picture.getAttribute('aria-labelledby') || '').split(' ').map(id => document.getElementById(id)?.textContent);
    if (picture.getAttribute('role') !== 'img' || !texts.length || texts.some(text => !text)) found.push('a picture without a text');
  }
  for (const part of all('section, nav')) {
    const by = part.getAttribute('aria-labelledby');
    if (!part.getAttribute('aria-label') && !(by && document.getElementById(by))) found.push(`${part.id} without a name`);
  }
  for (const part of all('*')) {
    const style = getComputedStyle(part);
    const scrolls = /auto|scroll/.test(style.overflowX + style.overflowY)
      && (part.scrollWidth > part.clientWidth || part.scrollHeight > part.clientHeight);
    if (scrolls && part.tabIndex < 0 && part !== document.documentElement) found.push(`${part.className} scrolls and has no focus`);
  }
  const ids = all('[id]').map(element => element.id);
  ids.filter((id, at) => ids.indexOf(id) !== at).forEach(id => found.push(`${id} twice`));
  const levels = all('h1, h2, h3, h4').map(heading => Number(heading.tagName[1]));
  levels.forEach((level, at) => { if (level > (levels[at - 1] || 0) + 1) found.push(`heading ${at} leaves a level out`); });
  return found;
}

/** What the focus is on, and whether one can see that. */
export function focused() {
  const element = document.activeElement, style = getComputedStyle(element), box = element.getBoundingClientRect();
  return {
    tag: element.tagName, id: element.id, text: (element.getAttribute('aria-label') || element.textContent).trim().slice(0, 40),
    isSeen: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2
      && box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth,
  };
}
