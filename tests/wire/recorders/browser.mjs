// As much of a browser as the editors ask for. Import this before any editor.
import { JSDOM } from 'jsdom'

const { window } = new JSDOM('<!doctype html><body></body>', { pretendToBeVisual: true })

const NAMES = [
  'window', 'document', 'navigator', 'Node', 'Element', 'HTMLElement', 'Text', 'Range', 'Event',
  'MutationObserver', 'DOMParser', 'KeyboardEvent', 'getSelection', 'getComputedStyle',
  'requestAnimationFrame', 'cancelAnimationFrame'
]
for (const name of NAMES) {
  const value = name === 'window' ? window : window[name]
  const bound = typeof value === 'function' && /^[a-z]/.test(name) ? value.bind(window) : value
  Object.defineProperty(globalThis, name, { value: bound, configurable: true, writable: true })
}

// jsdom has no layout: editors only want to know that nothing is anywhere.
const nowhere = { left: 0, top: 0, right: 0, bottom: 0, width: 0, height: 0, x: 0, y: 0 }
window.Range.prototype.getBoundingClientRect = () => nowhere
window.Range.prototype.getClientRects = () => []
window.Element.prototype.scrollIntoView = () => {}
window.document.elementFromPoint = () => null

/** An empty element on the page. */
export const place = () => document.body.appendChild(document.createElement('div'))
