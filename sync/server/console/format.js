/** Figures, times and names as people read them. Times come as ISO 8601, durations in seconds. */

const grouped = new Intl.NumberFormat('en-GB')
const NONE = '–'

export const integer = (value) => (value === null || value === undefined ? NONE : grouped.format(value))

/** With as many decimals as its size deserves. */
export function figure(value) {
  if (value === null || value === undefined) return NONE
  const size = Math.abs(value)
  if (size >= 100 || Number.isInteger(value)) return grouped.format(Math.round(value))
  return size >= 10 ? value.toFixed(1) : value.toFixed(2)
}

export const rate = (value) => (value === null || value === undefined ? NONE : `${figure(value)}/s`)
export const milliseconds = (value) =>
  value === null || value === undefined
    ? NONE
    : value >= 10_000
      ? `${figure(value / 1_000)} s`
      : `${figure(value)} ms`
export const percent = (share) =>
  share === null || share === undefined ? NONE : `${figure(Math.floor(share * 10_000) / 100)} %`

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
export function bytes(value) {
  if (value === null || value === undefined) return NONE
  let size = value
  let unit = 0
  while (size >= 1_024 && unit < UNITS.length - 1) {
    size /= 1_024
    unit += 1
  }
  return `${unit ? figure(size) : grouped.format(size)} ${UNITS[unit]}`
}

/** `3 edits`, `1 edit`. */
export const count = (number, one, many = `${one}s`) => `${integer(number)} ${number === 1 ? one : many}`

const two = (number) => String(number).padStart(2, '0')

/** `14:05:09`, of this machine's clock zone. */
export function clock(when) {
  const time = new Date(when)
  return `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`
}

/** `2026-11-23 14:05:09`; today only the clock. */
export function moment(when) {
  if (!when) return NONE
  const time = new Date(when)
  const day = `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}`
  const today = new Date()
  const same = time.toDateString() === today.toDateString()
  return same ? clock(time) : `${day} ${clock(time)}`
}

/** `2026-11-23 14:05:09.120 UTC+1`: as exactly as it is known, and of which zone. */
export function withZone(when) {
  const time = new Date(when)
  const day = `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}`
  return `${day} ${clock(time)}.${String(time.getMilliseconds()).padStart(3, '0')} ${zone(time)}`
}

/** `UTC+5:30`: of this machine's clock, in which all times are shown. */
export function zone(time = new Date()) {
  const minutes = -time.getTimezoneOffset()
  const [hours, rest] = [Math.floor(Math.abs(minutes) / 60), Math.abs(minutes) % 60]
  return minutes ? `UTC${minutes < 0 ? '−' : '+'}${hours}${rest ? `:${two(rest)}` : ''}` : 'UTC'
}

/** `5 min ago`, in its largest unit. */
export function ago(when) {
  if (!when) return ''
  const seconds = (Date.now() - new Date(when)) / 1_000
  return seconds < 1 ? 'just now' : `${duration(seconds).split(' ').slice(0, 2).join(' ')} ago`
}

/** `3 d 4 h`, `4 min 5 s`, `12 s`: the two largest units. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return NONE
  const whole = Math.max(0, Math.round(seconds))
  const parts = [
    [Math.floor(whole / 86_400), 'd'],
    [Math.floor(whole / 3_600) % 24, 'h'],
    [Math.floor(whole / 60) % 60, 'min'],
    [whole % 60, 's'],
  ]
  const first = parts.findIndex(([number]) => number > 0)
  if (first < 0) return '0 s'
  return parts
    .slice(first, first + 2)
    .filter(([number], index) => index === 0 || number > 0)
    .map(([number, unit]) => `${number} ${unit}`)
    .join(' ')
}

/** A value of a form or a document, on one line where it fits. */
export function shown(value) {
  if (value === undefined) return NONE
  if (value === null) return 'null'
  if (typeof value === 'string') return value
  if (typeof value === 'boolean') return value ? 'yes' : 'no'
  if (Array.isArray(value) && value.every((each) => typeof each !== 'object')) return value.join(', ')
  return typeof value === 'object' ? JSON.stringify(value, null, 1) : String(value)
}

export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1)
