/** What the service's status says, asked every two seconds for all views, and five minutes of it. */

import { Away, Refused, read } from './api.js'

class Service extends EventTarget {
  now = null // the last answer
  samples = null

  reset(samples) {
    this.now = null
    this.samples = samples
    this.recalled = false
  }

  async poll(signal) {
    try {
      this.now = await read('/status', { signal })
    } catch (error) {
      if (signal.aborted || error.status === 401) return // the page asks for a token
      this.samples.add({ at: Date.now() }) // a gap in every line
      this.dispatchEvent(new Event('news'))
      throw error instanceof Refused ? new Away(error.message) : error
    }
    if (!this.recalled) await this.recall(signal)
    this.samples.add(sample(this.now, Date.now()))
    this.dispatchEvent(new Event('news'))
  }

  /** Take in the minutes before the page was opened; where they cannot be had, charts begin empty. */
  async recall(signal) {
    this.recalled = true
    const { points } = await read('/status/recent', { signal }).catch(() => ({ points: [] }))
    const ahead = Date.now() - new Date(this.now.time) // of this machine's clock
    for (const each of points) this.samples.add(sample(each, new Date(each.time).getTime() + ahead))
  }
}

const sample = ({ edits, events, connections, rooms, memory_bytes: memory, delivery }, at) => ({
  at,
  edits: edits.per_second['10s'],
  events: events.per_second['10s'],
  delivered: delivery.per_second['10s'],
  p50: edits.commit_ms.p50,
  p99: edits.commit_ms.p99,
  documents: connections.documents,
  channels: connections.events + connections.streams,
  rooms,
  memory,
  unsaved: edits.unsaved_bytes,
  queued: delivery.queued_bytes,
})

export const service = new Service()
