import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { readIdentity, Tokens } from '../../src/lib/token'
import { Denied, type TokenSource } from '../../src/lib/types'
import { type Grants, signToken } from '../support/service'

const make = (ttl: number, grants: Grants = {}): string =>
  signToken('-'.repeat(32), 'alice', { ...grants, ttl })

let opened: Tokens[] = []

function start(source: TokenSource, page?: EventTarget): Tokens {
  const tokens = new Tokens({ source, page, random: () => 0.5 })
  opened.push(tokens)
  return tokens
}

beforeEach(() => {
  vi.useFakeTimers({ now: 1_800_000_000_000 })
})

afterEach(() => {
  for (const each of opened.splice(0)) each.close()
  opened = []
  vi.useRealTimers()
})

describe('claims', () => {
  it('grant by the most specific pattern', () => {
    const identity = readIdentity(
      make(60, {
        docs: {
          'drafts/*': 'read',
          'drafts/s1/*': 'write',
          'drafts/s1/secret': 'read',
          '*': 'write',
        },
        sessions: { '*': 'observe', s1: 'lead', 's*': 'join' },
      }),
    )
    expect(identity.documentAccess('drafts/2')).toBe('read')
    expect(identity.documentAccess('drafts/s1/a')).toBe('write')
    expect(identity.documentAccess('drafts/s1/secret')).toBe('read')
    expect(identity.documentAccess('other')).toBe('write')
    expect(identity.sessionRole('s1')).toBe('lead')
    expect(identity.sessionRole('s2')).toBe('evaluator')
    expect(identity.sessionRole('x')).toBe('observer')
    expect([...identity.sessionPatterns.keys()]).toEqual(['*', 's1', 's*'])
  })

  it('grant nothing where there are none, and everything to an administrator', () => {
    expect(readIdentity(make(60)).documentAccess('drafts/1')).toBe('none')
    expect(readIdentity(make(60)).sessionRole('s1')).toBeNull()
    const administrator = readIdentity(make(60, { role: 'admin' }))
    expect(administrator.documentAccess('drafts/1')).toBe('write')
    expect(administrator.sessionRole('s1')).toBe('lead')
    expect(administrator.administrator).toBe(true)
  })

  it('have names in any script', () => {
    expect(readIdentity(make(60, { name: '王小明 🙂' })).name).toBe('王小明 🙂')
  })

  it('of something else are refused', () => {
    expect(() => readIdentity('nonsense')).toThrow(Denied)
    expect(() => readIdentity('a.bnVsbA.c')).toThrow(Denied) // null
  })
})

describe('tokens', () => {
  it('are asked for once, however many need one', async () => {
    const source = vi.fn(async () => make(60))
    const tokens = start(source)
    const [one, two] = await Promise.all([tokens.current(), tokens.current()])
    expect(one).toBe(two)
    expect(await tokens.current()).toBe(one)
    expect(source).toHaveBeenCalledTimes(1)
    expect(tokens.identity.get()?.subject).toBe('alice')
  })

  it.each([
    [30, 24], // at 80 % of the lifetime
    [3_600, 3_540], // a minute before
    [20, 15], // five seconds before
    [6, 3], // half of a short life
  ])('of %i s are renewed after %i s', async (lifetime, due) => {
    const source = vi.fn(async () => make(lifetime))
    const tokens = start(source)
    const renewed = vi.fn()
    tokens.onRenewed(renewed)
    const first = await tokens.current()
    await vi.advanceTimersByTimeAsync(due * 1_000 - 10)
    expect(source).toHaveBeenCalledTimes(1)
    await vi.advanceTimersByTimeAsync(20)
    expect(source).toHaveBeenLastCalledWith(first)
    expect(renewed).toHaveBeenCalledTimes(1)
    expect(await tokens.current()).not.toBe(first)
  })

  it('are renewed on waking, though timers slept', async () => {
    const page = new EventTarget()
    const source = vi.fn(async () => make(3_600))
    const tokens = start(source, page)
    await tokens.current()
    vi.setSystemTime(Date.now() + 3_550_000)
    page.dispatchEvent(new Event('focus'))
    await vi.advanceTimersByTimeAsync(0)
    expect(source).toHaveBeenCalledTimes(2)
  })

  it('that have expired are never given out', async () => {
    const old = make(-10)
    const tokens = start(async (stale) => (stale === null ? old : make(60)))
    expect(await tokens.current()).not.toBe(old)
  })

  it('that have expired still say who one is, when there is no other for now', async () => {
    const tokens = start(async (stale) => {
      if (stale === null) return make(-10)
      throw new TypeError('offline')
    })
    await expect(tokens.current()).rejects.toThrow('offline')
    expect(tokens.identity.get()?.subject).toBe('alice')
  })

  it('are tried for again after pauses that grow, and at once with the word online', async () => {
    const page = new EventTarget()
    const source = vi.fn<TokenSource>().mockRejectedValue(new TypeError('offline'))
    const tokens = start(source, page)
    await expect(tokens.current()).rejects.toThrow('offline')
    await vi.advanceTimersByTimeAsync(60_000)
    const tried = source.mock.calls.length
    expect(tried).toBeGreaterThan(6)
    expect(tried).toBeLessThan(16)
    await expect(tokens.current()).rejects.toThrow('offline')
    expect(source).toHaveBeenCalledTimes(tried) // the pause holds for everybody
    source.mockImplementation(async () => make(60))
    page.dispatchEvent(new Event('online'))
    expect(await tokens.current()).toBeTruthy()
  })

  it('that are good go on being used while none is to be had', async () => {
    const source = vi.fn<TokenSource>().mockResolvedValueOnce(make(30))
    source.mockRejectedValue(new TypeError('offline'))
    const tokens = start(source)
    const first = await tokens.current()
    await vi.advanceTimersByTimeAsync(28_000)
    expect(await tokens.current()).toBe(first)
    await vi.advanceTimersByTimeAsync(3_000)
    await expect(tokens.current()).rejects.toThrow('offline')
  })

  it('end with Denied, once the last one has expired', async () => {
    const source = vi.fn<TokenSource>().mockResolvedValueOnce(make(30))
    source.mockRejectedValue(new Denied('sign in again'))
    const tokens = start(source)
    const first = await tokens.current()
    await vi.advanceTimersByTimeAsync(25_000)
    expect(await tokens.current()).toBe(first)
    await vi.advanceTimersByTimeAsync(10_000)
    await expect(tokens.current()).rejects.toThrow(Denied)
    expect(source).toHaveBeenCalledTimes(2)
  })

  it('that the service refuses are replaced, and only those that are in use', async () => {
    const source = vi.fn(async () => make(3_600))
    const tokens = start(source)
    const first = await tokens.current()
    tokens.refused(first)
    const second = await tokens.current()
    expect(second).not.toBe(first)
    tokens.refused(first)
    expect(await tokens.current()).toBe(second)
    expect(source).toHaveBeenCalledTimes(2)
  })

  it('that are new and have expired tell that our clock is wrong', async () => {
    const source = vi.fn(async () => make(60))
    const tokens = start(source)
    const first = await tokens.current()
    const ahead = Date.now()
    vi.setSystemTime(ahead + 7_200_000)
    source.mockImplementation(async () => {
      vi.setSystemTime(ahead) // the clock of the service
      const made = make(60)
      vi.setSystemTime(ahead + 7_200_000)
      return made
    })
    const second = await tokens.current()
    expect(second).not.toBe(first)
    expect(await tokens.current()).toBe(second)
    expect(source).toHaveBeenCalledTimes(2)
  })
})
