/**
 * Line charts of the last five minutes.
 *
 * A line is drawn in a unit square that the page stretches; the figures beside it are text of the
 * page, so that they stay sharp at any width. Where nothing was heard the line has a gap.
 */

import { h, patch } from './dom.js'
import { clock } from './format.js'

export const SPAN_SECONDS = 300

/** Samples of the last five minutes: `{at, ...figures}`, `at` in milliseconds since the epoch. */
export class Samples {
  constructor() {
    this.all = []
  }

  add(sample) {
    this.all.push(sample)
    const oldest = sample.at - SPAN_SECONDS * 1_000 - 5_000
    while (this.all.length && this.all[0].at < oldest) this.all.shift()
  }
}

/**
 * A card with a chart. `lines`: `{name, of(sample)}`, at most three. `format` writes a figure;
 * `base` is what its units are powers of; `atLeast` is what the axis reaches at the least, so that noise does not look like a mountain.
 */
export class Chart {
  constructor({ title, lines, format, atLeast = 1, base = 10, note }) {
    this.base = base
    this.lines = lines
    this.format = format
    this.atLeast = atLeast
    this.samples = []
    this.cursor = null // index of the sample that is pointed at
    this.figures = h('dl', { class: 'chart-figures' })
    this.paths = lines.map((_, index) =>
      h('path', { class: `line line-${index + 1}`, 'vector-effect': 'non-scaling-stroke', d: '' }),
    )
    this.marker = h('line', {
      class: 'chart-marker', x1: 0, x2: 0, y1: 0, y2: 100, 'vector-effect': 'non-scaling-stroke',
    })
    this.drawing = h(
      'svg',
      { viewBox: '0 0 300 100', preserveAspectRatio: 'none', 'aria-hidden': 'true' },
      ...[0, 50, 100].map((y) =>
        h('line', { class: 'chart-grid', x1: 0, x2: 300, y1: y, y2: y, 'vector-effect': 'non-scaling-stroke' }),
      ),
      ...this.paths,
      this.marker,
    )
    this.scale = h('div', { class: 'chart-scale', 'aria-hidden': 'true' })
    this.tip = h('div', { class: 'chart-tip', hidden: true })
    this.plot = h(
      'div',
      {
        class: 'chart-plot', tabindex: 0, role: 'img', 'aria-label': title,
        on: {
          pointermove: (event) => this.point(event),
          pointerleave: () => this.choose(null),
          keydown: (event) => this.key(event),
          blur: () => this.choose(null),
        },
      },
      this.drawing, this.tip,
    )
    this.node = h(
      'section',
      { class: 'card chart', 'aria-label': title },
      h('header', {}, h('h2', {}, title), note && h('p', { class: 'quiet' }, note)),
      this.figures,
      h('div', { class: 'chart-area' }, this.plot, this.scale),
      h('div', { class: 'chart-times', 'aria-hidden': 'true' }, h('span', {}, '5 min ago'), h('span', {}, 'now')),
    )
    this.title = title
  }

  /** Draw samples as they are at `now`. */
  draw(samples, now) {
    this.samples = samples
    this.now = now
    const most = Math.max(this.atLeast, ...samples.flatMap((each) => this.lines.map(({ of }) => of(each) ?? 0)))
    this.top = this.base === 2 ? 2 ** Math.ceil(Math.log2(most)) : rounded(most)
    this.lines.forEach(({ of }, index) => this.paths[index].setAttribute('d', this.path(of)))
    patch(this.scale, ...[this.top, this.top / 2, 0].map((value) => h('span', {}, this.format(value))))
    const last = samples.at(-1)
    patch(
      this.figures,
      this.lines.map(({ name, of }, index) =>
        h('div', {}, h('dt', { class: `swatch swatch-${index + 1}` }, name), h('dd', {}, last ? this.format(of(last)) : '–')),
      ),
    )
    this.plot.setAttribute('aria-label', `${this.title}: ${last ? this.said(last) : 'no figures yet'}. Arrow keys go back in time.`)
    if (this.cursor !== null) this.choose(Math.min(this.cursor, samples.length - 1))
  }

  x(sample) {
    return 300 - (this.now - sample.at) / 1_000
  }

  path(of) {
    const parts = []
    let before = null
    for (const sample of this.samples) {
      const value = of(sample)
      if (value === null || value === undefined) {
        before = null
        continue
      }
      const joined = before && sample.at - before.at < 10_000
      const y = 100 - (value / this.top) * 100
      parts.push(`${joined ? 'L' : 'M'}${this.x(sample).toFixed(1)} ${y.toFixed(2)}`)
      before = sample
    }
    return parts.join('')
  }

  said(sample) {
    return this.lines.map(({ name, of }) => `${name} ${this.format(of(sample))}`).join(', ')
  }

  point(event) {
    const box = this.plot.getBoundingClientRect()
    const wanted = this.now - (1 - (event.clientX - box.left) / box.width) * SPAN_SECONDS * 1_000
    let best = null
    this.samples.forEach((sample, index) => {
      if (best === null || Math.abs(sample.at - wanted) < Math.abs(this.samples[best].at - wanted)) best = index
    })
    this.choose(best)
  }

  key(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -15, PageDown: 15 }[event.key]
    if (event.key === 'Escape') this.choose(null)
    if (!step || !this.samples.length) return
    event.preventDefault()
    const from = this.cursor ?? this.samples.length
    this.choose(Math.max(0, Math.min(this.samples.length - 1, from + step)))
  }

  choose(index) {
    this.cursor = index
    const sample = index === null ? null : this.samples[index]
    this.tip.hidden = !sample
    this.marker.classList.toggle('chosen', Boolean(sample))
    if (!sample) return
    const x = Math.max(0, this.x(sample))
    this.marker.setAttribute('x1', x)
    this.marker.setAttribute('x2', x)
    this.tip.style.setProperty('left', `${(x / 300) * 100}%`)
    this.tip.classList.toggle('to-left', x > 150)
    patch(
      this.tip,
      h('strong', {}, clock(sample.at)),
      this.lines.map(({ name, of }, at) => h('span', { class: `swatch swatch-${at + 1}` }, `${name} ${this.format(of(sample))}`)),
    )
  }
}

/** The next of 1, 2, 5, 10, 20, 50 … at or above a figure. */
function rounded(value) {
  const power = 10 ** Math.floor(Math.log10(value))
  return [1, 2, 5, 10].map((each) => each * power).find((each) => each >= value * 0.999)
}
