import { describe, expect, it } from 'vitest'
import { SavingMachine } from '../../src/lib/saving'

/** A machine that has loaded nothing, on a socket that is ready, with its first barrier answered. */
function ready(): SavingMachine {
  const machine = new SavingMachine()
  machine.loaded({ waiting: 0, savedAt: null })
  machine.opened()
  machine.answered()
  const greeting = machine.nextBarrier()
  if (greeting !== null) machine.echoed(greeting, 1)
  return machine
}

describe('saving', () => {
  it('knows nothing before this device has said what it has', () => {
    const machine = new SavingMachine()
    machine.edited()
    expect(machine.saving.state).toBe('loading')
    machine.loaded({ waiting: 0, savedAt: 5 })
    expect(machine.saving).toMatchObject({ state: 'unsaved', waiting: 1, savedAt: 5 })
  })

  it('sends no barrier before it knows what this device has', () => {
    const machine = new SavingMachine()
    machine.opened()
    machine.answered()
    expect(machine.nextBarrier()).toBeNull()
    machine.loaded({ waiting: 3, savedAt: null })
    const barrier = machine.nextBarrier() ?? Number.NaN
    expect(machine.saving).toMatchObject({ state: 'saving', waiting: 3 })
    expect(machine.echoed(barrier, 9)).toBe(3)
    expect(machine.saving).toMatchObject({ state: 'saved', waiting: 0, savedAt: 9 })
  })

  it('sends no barrier before the step1 of this socket was answered', () => {
    const machine = new SavingMachine()
    machine.loaded({ waiting: 0, savedAt: null })
    machine.edited()
    expect(machine.nextBarrier()).toBeNull()
    machine.opened()
    expect(machine.nextBarrier()).toBeNull()
    expect(machine.saving.state).toBe('unsaved')
    machine.answered()
    expect(machine.nextBarrier()).not.toBeNull()
    expect(machine.saving.state).toBe('saving')
  })

  it('is saved only when the echo covers every edit', () => {
    const machine = ready()
    machine.edited()
    const first = machine.nextBarrier() ?? Number.NaN
    machine.edited()
    expect(machine.nextBarrier()).toBeNull() // one at a time
    expect(machine.echoed(first, 7)).toBe(1)
    expect(machine.saving).toMatchObject({ state: 'saving', waiting: 1, savedAt: 1 })
    const second = machine.nextBarrier() ?? Number.NaN
    machine.echoed(second, 8)
    expect(machine.saving).toMatchObject({ state: 'saved', waiting: 0, savedAt: 8 })
    expect(machine.nextBarrier()).toBeNull()
  })

  it('heeds no echo of a socket that has closed', () => {
    const machine = ready()
    machine.edited()
    const barrier = machine.nextBarrier() ?? Number.NaN
    machine.closed()
    expect(machine.saving.state).toBe('unsaved')
    expect(machine.echoed(barrier, 9)).toBeNull()
    machine.opened()
    machine.answered()
    expect(machine.echoed(barrier, 9)).toBeNull()
    expect(machine.saving).toMatchObject({ state: 'saving', waiting: 1 })
  })

  it('does not take an echo for saved where edits are dropped', () => {
    const machine = ready()
    machine.edited()
    const barrier = machine.nextBarrier() ?? Number.NaN
    machine.dropped('read-only')
    expect(machine.echoed(barrier, 9)).toBeNull()
    machine.edited()
    expect(machine.nextBarrier()).toBeNull()
    expect(machine.saving).toMatchObject({ state: 'unsaved', waiting: 2, refused: 'read-only' })
    machine.opened()
    machine.answered()
    machine.echoed(machine.nextBarrier() ?? Number.NaN, 10)
    expect(machine.saving).toMatchObject({ state: 'saved', refused: null, savedAt: 10 })
  })

  it('learns from a drop of something that it lacks what it took for saved', () => {
    const machine = ready()
    machine.dropped('read-only')
    expect(machine.saving).toMatchObject({ state: 'unsaved', waiting: 1 })
  })

  it('keeps why edits were refused until they are saved', () => {
    const machine = ready()
    machine.edited()
    machine.refuse('the session is stopped')
    machine.closed()
    expect(machine.saving).toMatchObject({ state: 'unsaved', refused: 'the session is stopped' })
  })

  it('never says saved of an edit that an honest service lacks, whatever happens', () => {
    for (let seed = 1; seed <= 3_000; seed += 1) new Run(seed).run(60)
  })

  it('ends up saved when a service takes edits and the socket holds', () => {
    for (let seed = 1; seed <= 300; seed += 1) {
      const run = new Run(seed)
      run.run(40)
      run.settle()
      expect(run.machine.saving).toMatchObject({ state: 'saved', waiting: 0, refused: null })
    }
  })
})

type Frame = { edit: number } | { all: number } | { barrier: number }

/**
 * A client and a service that interleave at random. Edits are numbers; frames of a socket arrive in
 * order; the service commits when it likes, and a crash forgets the rest.
 */
class Run {
  readonly machine = new SavingMachine()
  readonly #random: () => number
  #edits = 0
  #isOpen = false
  #writable = true
  #toServer: Frame[] = []
  #toClient: ({ echo: number } | 'step1' | 'dropped')[] = []
  #accepted = new Set<number>()
  #disk = new Set<number>()
  #barriers: { id: number; needs: Set<number> }[] = []
  #now = 0

  constructor(seed: number) {
    this.#random = mulberry32(seed)
    const kept = Math.floor(this.#random() * 3) // edits of the page before this one
    this.#edits = kept
    this.machine.loaded({ waiting: kept, savedAt: null })
  }

  run(steps: number): void {
    const acts = [
      this.#edit,
      this.#edit,
      this.#receive,
      this.#receive,
      this.#receive,
      this.#deliver,
      this.#deliver,
      this.#deliver,
      this.#commit,
      this.#commit,
      this.#open,
      this.#close,
      this.#crash,
    ]
    for (let n = 0; n < steps; n += 1) {
      acts[Math.floor(this.#random() * acts.length)]?.()
      this.#check()
    }
  }

  settle(): void {
    this.#close()
    this.#open(true)
    for (let n = 0; n < 200; n += 1) {
      this.#receive()
      this.#commit()
      this.#deliver()
      this.#check()
    }
  }

  #check(): void {
    if (this.machine.saving.state !== 'saved') return
    const lacking = [...Array(this.#edits).keys()].filter((n) => !this.#disk.has(n + 1))
    expect(lacking).toEqual([])
  }

  #edit = (): void => {
    this.#edits += 1
    this.machine.edited()
    if (this.#isOpen) this.#toServer.push({ edit: this.#edits })
    this.#sendBarrier()
  }

  #sendBarrier(): void {
    const id = this.machine.nextBarrier()
    if (id !== null) this.#toServer.push({ barrier: id })
  }

  #open = (writable = this.#random() < 0.8): void => {
    if (this.#isOpen) return
    this.#isOpen = true
    this.#writable = writable
    this.#toClient = ['step1']
    this.machine.opened()
    this.#sendBarrier()
  }

  #close = (): void => {
    this.#isOpen = false
    this.#toServer = []
    this.#toClient = []
    this.#barriers = []
    this.machine.closed()
  }

  #crash = (): void => {
    this.#accepted = new Set(this.#disk)
    this.#close()
  }

  /** The service takes the next frame. */
  #receive = (): void => {
    const frame = this.#toServer.shift()
    if (frame === undefined) return
    if ('barrier' in frame) {
      const needs = new Set(this.#writable ? this.#accepted : [])
      this.#barriers.push({ id: frame.barrier, needs })
      this.#echo()
      return
    }
    const brought = 'all' in frame ? [...Array(frame.all).keys()].map((n) => n + 1) : [frame.edit]
    const news = brought.filter((edit) => !this.#accepted.has(edit))
    if (news.length === 0) return
    if (!this.#writable) this.#toClient.push('dropped')
    else for (const edit of news) this.#accepted.add(edit)
  }

  #commit = (): void => {
    this.#disk = new Set(this.#accepted)
    this.#echo()
  }

  #echo(): void {
    while (this.#barriers.length > 0) {
      const [first] = this.#barriers
      if (first === undefined || [...first.needs].some((edit) => !this.#disk.has(edit))) return
      this.#barriers.shift()
      this.#toClient.push({ echo: first.id })
    }
  }

  /** The client takes the next frame. */
  #deliver = (): void => {
    const frame = this.#toClient.shift()
    if (frame === undefined) return
    this.#now += 1
    if (frame === 'step1') {
      this.#toServer.push({ all: this.#edits })
      this.machine.answered()
    } else if (frame === 'dropped') this.machine.dropped('read-only')
    else this.machine.echoed(frame.echo, this.#now)
    this.#sendBarrier()
  }
}

function mulberry32(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}
