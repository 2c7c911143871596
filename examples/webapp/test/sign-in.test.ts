// @vitest-environment jsdom
import { beforeEach, expect, test, vi } from 'vitest'
import { routeOf } from '../src/route'
import {
  arrive,
  continueAs,
  currentPerson,
  knownPeople,
  leaveTab,
  readLink,
  tokenSource,
} from '../src/sign-in'

const encoded = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
const tokenOf = (sub: string, seconds = 900, name?: string) =>
  `head.${encoded({ sub, name, exp: Math.round(Date.now() / 1_000) + seconds })}.signature`

beforeEach(() => {
  localStorage.clear()
  sessionStorage.clear()
  location.hash = ''
})

function open(link: string): string {
  location.hash = link
  return arrive()
}

test('a token is taken out of the address, and one is who it is for', () => {
  expect(open(`#token=${tokenOf('alice', 900, '李 Alice')}&session=s%2F1&case=c1`)).toBe(
    'signed-in',
  )
  expect(location.hash).toBe('#/s/s%2F1/c1')
  expect(currentPerson()).toMatchObject({ subject: 'alice', name: '李 Alice' })
})

test('links lead where they say', () => {
  expect(readLink('#token=t&page=monitor&session=s')?.hash).toBe('#/monitor')
  expect(readLink('#token=t')?.hash).toBe('#/')
  expect(readLink('#/s/one')).toBeNull()
})

test('what is no token is no link', () => {
  expect(open('#token=cut-short&session=s')).toBe('bad-link')
  expect([currentPerson(), location.hash]).toEqual([null, '#/s/s'])
})

test('a new tab is asked who it is when several people are known, and after it was left', () => {
  open(`#token=${tokenOf('alice')}`)
  sessionStorage.clear()
  expect(currentPerson()?.subject).toBe('alice')
  leaveTab()
  expect(currentPerson()).toBeNull()
  open(`#token=${tokenOf('bob')}`)
  sessionStorage.clear()
  expect(currentPerson()).toBeNull()
  const people = knownPeople()
  expect(people.map((each) => each.subject)).toEqual(['alice', 'bob'])
  for (const each of people) continueAs(each)
  expect(currentPerson()?.subject).toBe('bob')
})

test('an old token is exchanged, and the new one kept', async () => {
  const [old, fresh] = [tokenOf('alice', 1), tokenOf('alice', 900)]
  open(`#token=${old}`)
  const fetched = vi.fn(async () => Response.json({ token: fresh, expires: '' }))
  vi.stubGlobal('fetch', fetched)
  const source = tokenSource('alice')
  expect(await source(null)).toBe(old)
  expect(await source(old)).toBe(fresh)
  expect(await source(old)).toBe(fresh) // as another tab of the same person would find it
  expect(fetched).toHaveBeenCalledTimes(1)
})

test('a service that does not renew ends it; one that is away does not', async () => {
  const old = tokenOf('alice', 1)
  open(`#token=${old}`)
  vi.stubGlobal('fetch', async () => new Response(null, { status: 404 }))
  await expect(tokenSource('alice')(old)).rejects.toMatchObject({ name: 'Denied' })
  vi.stubGlobal('fetch', async () => new Response(null, { status: 503 }))
  await expect(tokenSource('alice')(old)).rejects.toMatchObject({ name: 'Error' })
})

test('addresses say which page it is', () => {
  expect(routeOf('')).toEqual({ page: 'start' })
  expect(routeOf('#/s/a%20b')).toEqual({ page: 'evaluate', session: 'a b', testCase: null })
  expect(routeOf('#/s/a/c%')).toEqual({ page: 'evaluate', session: 'a', testCase: 'c%' })
  expect(routeOf('#/monitor/s1')).toEqual({ page: 'monitor', session: 's1' })
})
