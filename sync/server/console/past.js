/**
 * A document as it was: one moves through its versions, or its single edits, by a slider, and sees
 * what it held and what that step changed.
 */

import { Away, REPLAY_SECONDS, path, query as queryOf, read } from './api.js'
import { byPlace, changesTable, formView, rawView } from './content.js'
import { h, patch } from './dom.js'
import { clock, count, duration, integer, moment } from './format.js'
import { badge, choice, confirm, damage, documentPlace, empty, facts, failure, loading, say, section, time } from './parts.js'
import { once, pause } from './poll.js'

const PAGE = 1_000
const MOST = 20_000 // steps, the latest of them: what one has to do with is rarely the beginning
const PLAY_MS = 900
const SLIDE_MS = 80 // that the slider rests on a step before it is asked for
const KEPT = 20 // states that were shown are kept, so that one goes back at once; each may be large

/**
 * A document's history: `{view, steps, left, damaged, removed}`; `left` is how many of the earliest
 * steps are left out, `removed` the position up to which retention took it away, or 0.
 */
async function history(followed, view, signal) {
  const { thinned: removed } = await read(`${followed.path}/history${queryOf({ limit: 1 })}`, { signal })
  const damaged = new Set()
  let steps = []
  let left = 0
  for (let after = 0; after !== null; ) {
    const told = await read(`${followed.path}/history${queryOf({ view, after, limit: PAGE })}`, { signal, patience: REPLAY_SECONDS })
    steps = steps.concat(view === 'versions' ? told.versions.map(ofVersion) : told.entries.map(ofEdit))
    left += Math.max(0, steps.length - MOST)
    steps = steps.slice(-MOST)
    told.damaged.forEach((each) => damaged.add(each))
    after = told.next
  }
  return { view, steps, left, damaged: [...damaged], removed }
}

const ofVersion = (each) => ({ ...each, position: each.last })
const ofEdit = (each) => ({ ...each, first: each.position, began: each.time, ended: each.time, edits: 1, changes: null })

/** Versions of a document, for who chooses among them. */
export const versions = async (followed, signal) => (await history(followed, 'versions', signal)).steps

export function past({ followed, query, signal }) {
  const node = h('div', {}, loading('the history'))
  const states = new Map()
  let view = query.get('view') === 'edits' ? 'edits' : 'versions' // that is wanted; `found.view` is shown
  let raw = false
  let found = null
  let chosen = 0 // index of the step
  let stepShown = null
  let playing = null
  let loadingIt = new AbortController()
  let choosing = new AbortController()

  const slider = h('input', {
    type: 'range', min: 0, max: 0, step: 1, class: 'time', 'aria-label': 'Point in time',
    on: { input: (event) => { stop(); choose(Number(event.target.value), SLIDE_MS) } },
  })

  // The slider is never taken out of the page, nor what is about it: it would lose the focus, and
  // whoever drags it would hold nothing.
  const head = h('div', { class: 'card-head' })
  const controls = h('div', { class: 'buttons' })
  const about = h('div', {})
  const timeline = h('section', { class: 'card timeline', 'aria-label': 'Time', key: 'timeline' },
    head, h('div', { class: 'slide' }, controls, slider), about)

  /** Read the history; show the step that is shown, or the last one. */
  function load(last = false) {
    loadingIt.abort()
    loadingIt = new AbortController()
    const either = AbortSignal.any([signal, loadingIt.signal])
    node.setAttribute('aria-busy', 'true')
    once(async () => {
      try {
        take(await history(followed, view, either), last)
      } catch (error) {
        if (either.aborted || error instanceof Away) throw error
        patch(node, failure(error))
      }
      node.removeAttribute('aria-busy')
    }, either)
  }

  function take(history, last) {
    const wanted = last ? Infinity : (found?.steps[chosen]?.position ?? Number(query.get('at') ?? Infinity))
    found = history
    view = found.view
    if (!found.steps.length)
      return patch(node, empty('It has no history that can be read.'), damage(found.damaged))
    const index = found.steps.findIndex((each) => each.position >= wanted)
    choose(index < 0 ? found.steps.length - 1 : index)
  }

  /** Show a step; what was asked for another one is not waited for any more. */
  function choose(index, rest = 0) {
    chosen = Math.max(0, Math.min(found.steps.length - 1, index))
    choosing.abort()
    choosing = new AbortController()
    const either = AbortSignal.any([signal, choosing.signal])
    draw()
    const step = found.steps[chosen]
    const at = chosen === found.steps.length - 1 ? null : step.position
    window.history.replaceState(null, '', `#/${documentPlace(followed.name, 'past')}${queryOf({ at, view: view === 'edits' ? view : null })}`)
    once(async () => {
      try {
        if (rest) await pause(rest, either)
        stepShown = { step, state: await stateOf(step, either) }
      } catch (error) {
        if (either.aborted || error instanceof Away) throw error
        stepShown = { step, error }
      }
      draw()
    }, either)
  }

  /** What a step changed since the one before: people's versions may overlap. */
  async function changesOf(step, signal) {
    const before = found.steps[found.steps.indexOf(step) - 1]?.position ?? 0
    if (step.changes && before < step.first) return step.changes
    const from = before || step.first - 1
    return (await read(`${followed.path}/diff${queryOf({ from, to: step.position })}`, { signal, patience: REPLAY_SECONDS })).changes
  }

  async function stateOf(step, signal) {
    const key = `${found.view} ${step.position}`
    if (!states.has(key)) {
      const at = read(`${followed.path}${path('at', step.position)}`, { signal, patience: REPLAY_SECONDS })
      const [told, changes] = await Promise.all([at, changesOf(step, signal)])
      if (told.form && !followed.definition) followed.definition = (await read(path('sessions', told.session), { signal })).form
      states.set(key, { told, changes })
      if (states.size > KEPT) states.delete(states.keys().next().value)
    }
    return states.get(key)
  }

  function stop() {
    clearInterval(playing)
    playing = null
  }

  function play() {
    if (playing) stop()
    else {
      if (chosen === found.steps.length - 1) choose(0)
      playing = setInterval(() => {
        if (chosen >= found.steps.length - 1) stop()
        else if (stepShown?.step === found.steps[chosen]) choose(chosen + 1)
        draw()
      }, PLAY_MS)
    }
    draw()
  }
  signal.addEventListener('abort', stop)

  const switchTo = (other) => () => {
    if (view === other) return
    view = other
    stop()
    load()
    draw()
  }

  function draw() {
    const { steps, left, damaged, removed } = found
    if (!steps.length) return
    const step = steps[chosen]
    const word = found.view === 'versions' ? 'Version' : 'Edit'
    slider.max = steps.length - 1
    slider.value = chosen
    slider.setAttribute('aria-valuetext', `${word} ${chosen + 1} of ${steps.length}: by ${step.author}, ${moment(step.ended)}`)
    const newer = followed.told && followed.told.position > steps.at(-1).position
    patch(head,
      h('h2', {}, `${word} `, h('span', { class: 'figures' }, `${integer(chosen + 1)} of ${integer(steps.length)}`)),
      h('div', { class: 'buttons' },
        choice('Versions', view === 'versions', switchTo('versions')), choice('Edits', view === 'edits', switchTo('edits'))))
    const move = (text, label, to) =>
      h('button', { type: 'button', class: 'small', 'aria-label': label, disabled: !steps[to], on: { click: () => { stop(); choose(to) } } }, text)
    patch(controls,
      move('◂', 'One back', chosen - 1),
      h('button', { type: 'button', class: 'small play', on: { click: play } }, playing ? 'Pause' : 'Play'),
      move('▸', 'One on', chosen + 1))
    patch(about,
      h('div', { class: 'chart-times', 'aria-hidden': 'true' }, h('span', {}, moment(steps[0].ended)), h('span', {}, moment(steps.at(-1).ended))),
      facts(
        ['Author', h('span', { class: 'name' }, step.author)],
        ['When', step.began === step.ended ? time(step.ended) : h('span', {}, time(step.began), ' – ', clock(step.ended))],
        ['Edits', integer(step.edits)],
        ['Position', h('span', { class: 'figures' }, step.first === step.position ? integer(step.position) : `${integer(step.first)} – ${integer(step.position)}`)],
        ['How', step.offline ? h('span', {}, badge('warn', 'Offline'), step.away_seconds ? ` received ${duration(step.away_seconds)} after the edit before it` : '') : badge('quiet', 'Online')],
      ),
      h('div', { class: 'buttons' },
        h('button', { type: 'button', on: { click: () => restore(followed, step, load) } }, 'Restore to this point …'),
        newer && h('button', { type: 'button', on: { click: () => load(true) } }, 'Newer edits are there: read them')),
      left > 0 && h('p', { class: 'quiet' }, `The last ${count(steps.length, 'step')} are here; draftsync docs history tells the ${integer(left)} before them.`),
      removed > 0 && h('p', { class: 'quiet' }, `What was up to position ${integer(removed)} was removed by retention.`),
      damage(damaged))
    patch(node, timeline, body())
  }

  function body() {
    if (!stepShown) return loading('the content as of then')
    const { error, state } = stepShown
    if (error) return failure(error)
    const changed = byPlace(state.changes)
    const definition = followed.definition
    const byForm = state.told.form && definition && !raw
    const title = `As it was ${moment(state.told.updated_at ?? stepShown.step.ended)}`
    return h('div', { class: 'columns past', key: 'past' },
      h('section', { class: 'card', 'aria-label': 'Content as of then' },
        h('div', { class: 'card-head' }, h('h2', {}, title),
          state.told.form && h('div', { class: 'buttons' }, choice('Form', byForm, () => { raw = false; draw() }), choice('Raw', !byForm, () => { raw = true; draw() }))),
        byForm ? formView(state.told.form, definition, changed) : rawView(state.told.content, changed)),
      section('What this step changed', changesTable(state.changes, 'It changed nothing that one sees.')))
  }

  followed.addEventListener('news', () => found && draw(), { signal }) // it may have newer edits
  load()
  return node
}

async function restore(followed, step, again) {
  const done = await confirm({
    title: 'Restore to this point?',
    about: [
      h('span', { class: 'name' }, followed.name),
      `What it holds becomes again what it was at position ${integer(step.position)}, ${moment(step.ended)}.`,
      'This is a new edit in your name: whoever has it open sees it at once, what they type meanwhile stays, and nothing of the history is lost.',
      followed.deleted ? 'It is brought back first.' : null,
    ].filter(Boolean),
    action: 'Restore',
    work: async () => {
      if (followed.deleted) await read(`${followed.path}/restore`, { method: 'POST' })
      const { changes } = await read(`${followed.path}/restore`, { method: 'POST', body: { position: step.position } })
      say(changes ? `Restored: ${count(changes, 'place')} changed.` : 'Nothing had to be changed: it is as it was then.')
    },
  })
  if (done) again(true)
}
