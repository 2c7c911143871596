/** Where the page begins. */

import './styles.css'
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { App } from './app'
import { startLanguage } from './i18n'
import { arrive, currentPerson } from './sign-in'
import { startTheme } from './ui/theme'

startLanguage()
startTheme()
const arrival = arrive()
// Another link, opened in a tab that is open: begin anew, as whom it is for.
window.addEventListener('hashchange', () => {
  if (/[#&]token=/.test(location.hash)) location.reload()
})

const root = document.getElementById('root')
if (root === null) throw new Error('index.html needs an element #root')
createRoot(root).render(
  <StrictMode>
    <App
      person={arrival === 'bad-link' ? null : currentPerson()}
      badLink={arrival === 'bad-link'}
    />
  </StrictMode>,
)
