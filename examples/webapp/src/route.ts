/** Which page it is, from the address: `#/`, `#/s/{session}[/{case}]`, `#/monitor[/{session}]`. */

import { useMemo, useSyncExternalStore } from 'react'

export type Route =
  | { readonly page: 'start' }
  | { readonly page: 'evaluate'; readonly session: string; readonly testCase: string | null }
  | { readonly page: 'monitor'; readonly session: string | null }

export function routeOf(hash: string): Route {
  const [page, first, second] = hash.replace(/^#\//, '').split('/').map(decoded)
  if (page === 's' && first !== undefined && first !== '') {
    return { page: 'evaluate', session: first, testCase: second || null }
  }
  if (page === 'monitor') return { page, session: first || null }
  return { page: 'start' }
}

export function addressOf(session: string, testCase: string): string {
  return `#/s/${encodeURIComponent(session)}/${encodeURIComponent(testCase)}`
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part // as it was typed
  }
}

export function useRoute(): Route {
  const hash = useSyncExternalStore(subscribe, () => location.hash)
  return useMemo(() => routeOf(hash), [hash])
}

function subscribe(listener: () => void): () => void {
  window.addEventListener('hashchange', listener)
  return () => window.removeEventListener('hashchange', listener)
}
