/** What `GET /status` says, asked every two seconds for all views, and the last five minutes of it. */

import { Refused, read } from './api.js'

class Service extends EventTarget {
  now = null // the last answer
  samples = null

  reset(samples) {
    this.now = null
    this.samples = samples
  }

  async poll(signal) {
    try {
      this.now = await read('/status', { signal })
    } catch (error) {
      if (!(error instanceof Refused)) {
        if (!signal.aborted) this.samples.add({ at: Date.now() }) // a gap in every line
        this.dispatchEvent(new Event('news'))
        throw error
      }
      return // the page asks for a token
    }
    const { edits, events, connections, rooms, memory_bytes: memory, loop_lag_ms: lag, delivery } = this.now
    this.samples.add({
      at: Date.now(),
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
      lag: lag.p99,
    })
    this.dispatchEvent(new Event('news'))
  }
}

export const service = new Service()
