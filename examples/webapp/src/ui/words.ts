/** The words of a page in the language that the document says it is in. */

import { useSyncExternalStore } from 'react'

/** As `Intl` has it. */
export function useLocale(): string {
  return useSyncExternalStore(subscribe, locale)
}

export function useWords<T>(words: { readonly en: T; readonly zh: T }): T {
  return useLocale().startsWith('zh') ? words.zh : words.en
}

function locale(): string {
  return document.documentElement.lang.startsWith('zh') ? 'zh-CN' : 'en'
}

function subscribe(listener: () => void): () => void {
  const observer = new MutationObserver(listener)
  observer.observe(document.documentElement, { attributes: true, attributeFilter: ['lang'] })
  return () => observer.disconnect()
}
