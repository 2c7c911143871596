/**
 * The page's elements: made from values, and brought up to date in place.
 *
 * Whatever is shown goes in as text or as an attribute's value, never as markup; the page's
 * Content-Security-Policy forbids the rest. `patch` changes only what differs, so that the focus, a
 * selection and a half-typed word stay where they are while figures move.
 */

const SVG = 'http://www.w3.org/2000/svg'
const SVG_TAGS = new Set(['svg', 'path', 'line', 'g', 'circle', 'rect', 'title'])

/**
 * Make an element. `attributes`: `class`, `key` (who it is among its siblings, for `patch`), `style`
 * (an object of CSS properties), `on` (an object of listeners), `prop` (an object of properties, set
 * once), and any attribute: null, undefined and false leave it out, true is the empty string.
 * Children: nodes, texts, numbers, lists of them; null and false are nothing.
 */
export function h(tag, attributes = {}, ...children) {
  const element = SVG_TAGS.has(tag)
    ? document.createElementNS(SVG, tag)
    : document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue
    if (name === 'on') listen(element, value)
    else if (name === 'key') element.dataset.key = value
    else if (name === 'prop') Object.assign(element, value)
    else if (name === 'style')
      for (const [property, set] of Object.entries(value)) element.style.setProperty(property, set)
    else element.setAttribute(name, value === true ? '' : String(value))
  }
  element.append(...nodes(children))
  return element
}

/** What `h` takes as children, as nodes. */
function nodes(children) {
  return children
    .flat(Infinity)
    .filter((child) => child !== null && child !== undefined && child !== false && child !== '')
    .map((child) => (child instanceof Node ? child : document.createTextNode(String(child))))
}

const handlers = new WeakMap() // element → its listeners by the event's name

function listen(element, listeners) {
  const known = handlers.get(element) ?? {}
  for (const name of Object.keys(listeners))
    if (!(name in known))
      element.addEventListener(name, (event) => handlers.get(element)[name]?.(event))
  const gone = Object.fromEntries(Object.keys(known).map((name) => [name, null]))
  handlers.set(element, { ...gone, ...listeners })
}

/** Give an element these children, keeping of those it has what is the same. */
export function patch(parent, ...children) {
  const fresh = nodes(children)
  const wanted = new Set(fresh.map((node) => node.dataset?.key))
  const keyed = new Map()
  for (const child of [...parent.children]) {
    const { key } = child.dataset
    if (key && wanted.has(key)) keyed.set(key, child)
    else if (key) child.remove()
  }
  let place = parent.firstChild
  for (const node of fresh) {
    const key = node.dataset?.key
    let match = key ? keyed.get(key) : place
    if (match && !alike(match, node)) match = null
    if (!match) {
      parent.insertBefore(node, place)
      continue
    }
    if (match === place) place = place.nextSibling
    else parent.insertBefore(match, place)
    update(match, node)
  }
  while (place) {
    const next = place.nextSibling
    place.remove()
    place = next
  }
}

function alike(old, fresh) {
  return (
    old.nodeType === fresh.nodeType &&
    old.nodeName === fresh.nodeName &&
    old.dataset?.key === fresh.dataset?.key
  )
}

function update(old, fresh) {
  if (old === fresh) return
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data
    return
  }
  if (handlers.has(fresh) || handlers.has(old)) listen(old, handlers.get(fresh) ?? {})
  for (const { name, value } of fresh.attributes)
    if (name !== 'style' && old.getAttribute(name) !== value) old.setAttribute(name, value)
  for (const { name } of [...old.attributes])
    if (name !== 'style' && !fresh.hasAttribute(name) && !KEPT.has(name)) old.removeAttribute(name)
  if (old.style && old.style.cssText !== fresh.style.cssText)
    old.style.cssText = fresh.style.cssText
  patch(old, ...fresh.childNodes)
}

const KEPT = new Set(['open']) // what the reader has opened stays so
