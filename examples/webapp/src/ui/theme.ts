/** Light or dark: as the device has it, unless somebody chose. */

import { Cell } from '../lib/readable'

const KEY = 'draftsync.theme'

export const THEMES = ['system', 'light', 'dark'] as const
export type Theme = (typeof THEMES)[number]

export const theme = new Cell<Theme>('system')

/** Put the theme into the document; before the first render. */
export function startTheme(): void {
  let kept: string | null = null
  try {
    kept = localStorage.getItem(KEY)
  } catch {
    // Storage is refused: as the device has it.
  }
  show(THEMES.find((each) => each === kept) ?? 'system')
}

export function setTheme(chosen: Theme): void {
  show(chosen)
  try {
    localStorage.setItem(KEY, chosen)
  } catch {
    // It holds for this page, then.
  }
}

function show(chosen: Theme): void {
  theme.set(chosen)
  if (chosen === 'system') delete document.documentElement.dataset.theme
  else document.documentElement.dataset.theme = chosen
}
