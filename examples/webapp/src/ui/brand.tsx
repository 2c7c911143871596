/** The way home. */

import * as messages from '../i18n/common'
import { useWords } from './words'

export function Brand() {
  const words = useWords(messages)
  return (
    <a className="brand" href="#/" aria-label={words.home}>
      <img src="/icon.svg" alt="" width="24" height="24" />
      <span>draftsync</span>
    </a>
  )
}
