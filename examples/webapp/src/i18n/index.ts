/** Which language the page speaks: chosen before, or that of the browser. See `ui/words.ts`. */

const KEY = 'draftsync.language'

export const LANGUAGES = [
  { id: 'en', name: 'English' },
  { id: 'zh-CN', name: '简体中文' },
] as const

export type Language = (typeof LANGUAGES)[number]['id']

/** Put the language into the document; before the first render. */
export function startLanguage(): void {
  const kept = read()
  const first = navigator.languages.find((each) => /^(en|zh)\b/.test(each)) ?? 'en'
  document.documentElement.lang = kept ?? (first.startsWith('zh') ? 'zh-CN' : 'en')
}

export function setLanguage(language: Language): void {
  document.documentElement.lang = language
  try {
    localStorage.setItem(KEY, language)
  } catch {
    // It holds for this page, then.
  }
}

function read(): Language | null {
  try {
    const kept = localStorage.getItem(KEY)
    return LANGUAGES.find((each) => each.id === kept)?.id ?? null
  } catch {
    return null
  }
}
