/** What differs between two points in a document's time. */

import { query as queryOf, read } from './api.js'
import { changesTable } from './content.js'
import { h, patch } from './dom.js'
import { moment } from './format.js'
import { empty, failure, loading, section } from './parts.js'
import { versions } from './past.js'

export function compare({ followed, signal }) {
  const chosen = { from: 0, to: '' }
  const result = h('div', {}, loading('what differs'))
  const selects = h('div', { class: 'search' })
  const show = async () => {
    try {
      const { changes } = await read(`${followed.path}/diff${queryOf(chosen)}`, { signal })
      patch(result, changesTable(changes))
    } catch (error) {
      if (!signal.aborted) patch(result, failure(error))
    }
  }
  const select = (name, label, options) =>
    h('label', {}, h('span', {}, label),
      h('select', { name, on: { change: (event) => { chosen[name] = event.target.value; show() } } },
        options.map(([value, text]) => h('option', { value, selected: String(chosen[name]) === String(value) }, text))))
  const begin = async () => {
    try {
      const all = await versions(followed, signal)
      if (!all.length) return patch(result, empty('It has no history that is kept.'))
      const points = all.map((each, index) => [each.position, `Version ${index + 1}: ${each.author}, ${moment(each.ended)}`])
      chosen.from = all.length > 1 ? all.at(-2).position : all[0].position
      patch(selects,
        select('from', 'From', [['0', 'The beginning: nothing'], ...points]),
        select('to', 'To', [...points, ['', 'Now']]))
      show()
    } catch (error) {
      if (!signal.aborted) patch(result, failure(error))
    }
  }
  begin()
  followed.addEventListener('news', () => chosen.to === '' && selects.firstChild && show(), { signal })
  return section('What differs', selects, result)
}
