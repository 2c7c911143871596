/** What differs between two points in a document's time. */

import { Away, REPLAY_SECONDS, query as queryOf, read } from './api.js'
import { changesTable } from './content.js'
import { h, patch } from './dom.js'
import { moment } from './format.js'
import { documentPlace, empty, failure, loading, section } from './parts.js'
import { versions } from './past.js'
import { again, once } from './poll.js'

const PAUSE_SECONDS = 3 // while somebody types
const BEGINNING = 'start' // of what is kept of its history

export function compare({ followed, query, signal }) {
  const chosen = { from: query.get('from'), to: query.get('to') ?? '' } // positions, or BEGINNING; '' is now
  let choosing = new AbortController()
  const result = h('div', {}, loading('what differs'))
  const selects = h('div', { class: 'search' })
  const show = async (signal) => {
    const { from, to } = chosen
    try {
      const { changes } = await read(`${followed.path}/diff${queryOf({ from: from === BEGINNING ? null : from, to })}`, { signal, patience: REPLAY_SECONDS })
      if (from === chosen.from && to === chosen.to) patch(result, changesTable(changes))
    } catch (error) {
      if (signal.aborted || error instanceof Away) throw error
      patch(result, failure(error))
    }
  }
  const choose = (name, value) => {
    chosen[name] = value
    history.replaceState(null, '', `#/${documentPlace(followed.name, 'compare')}${queryOf(chosen)}`)
    choosing.abort() // an answer that is on its way is of another choice
    choosing = new AbortController()
    const either = AbortSignal.any([signal, choosing.signal])
    once(() => show(either), either)
  }
  const select = (name, label, options) =>
    h('label', {}, h('span', {}, label),
      h('select', { name, on: { change: (event) => choose(name, event.target.value) } },
        options.map(([value, text]) => h('option', { value, selected: String(chosen[name]) === String(value) }, text))))
  const begin = async () => {
    try {
      const all = await versions(followed, signal)
      if (!all.length) return patch(result, empty('It has no history that can be read.'))
      chosen.from ??= String(all.at(-2)?.position ?? BEGINNING)
      const points = all.map((each, index) => [each.position, `Version ${index + 1}: ${each.author}, ${moment(each.ended)}`]).reverse()
      patch(selects,
        select('from', 'From', withChosen(chosen.from, [...points, [BEGINNING, 'The beginning']])),
        select('to', 'To', withChosen(chosen.to, [['', 'Now'], ...points])))
      choose('to', chosen.to)
    } catch (error) {
      if (signal.aborted || error instanceof Away) throw error
      patch(result, failure(error))
    }
  }
  once(begin, signal)
  const follow = again(PAUSE_SECONDS, () => show(signal), signal)
  followed.addEventListener('news', () => chosen.to === '' && selects.firstChild && follow(), { signal })
  return section('What differs', selects, result)
}

/** What an address names need not be the end of a version. */
const withChosen = (value, options) =>
  options.some(([each]) => String(each) === value) ? options : [[value, `Position ${value}`], ...options]
