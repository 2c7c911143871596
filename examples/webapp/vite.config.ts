import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import react from '@vitejs/plugin-react'
import type { Plugin } from 'vite'
import { defineConfig } from 'vitest/config'

const APP = ['test/**/*.test.{ts,tsx}']
const STORED = ['service', 'session-store', 'document', 'sessions-end-to-end'].map(
  (each) => `test/lib/${each}.test.ts`,
)

const SERVICE = 'http://127.0.0.1:3001'

/** Tell the service worker which files make this build: all of them, by their contents. */
function precache(): Plugin {
  return {
    name: 'precache',
    apply: 'build',
    enforce: 'post',
    generateBundle(_options, bundle) {
      const worker = bundle['sw.js']
      if (worker?.type !== 'chunk')
        throw new Error('the build has no sw.js: see build.rollupOptions')
      const built = Object.keys(bundle).filter((each) => each !== 'sw.js' && each !== 'index.html')
      const still = readdirSync('public')
      const files = [...built, ...still].map((each) => `/${each}`).sort()
      const hash = createHash('sha256').update(worker.code).update(files.join())
      for (const each of ['index.html', ...still.map((name) => `public/${name}`)]) {
        hash.update(readFileSync(each))
      }
      const told = JSON.stringify({ version: hash.digest('hex').slice(0, 12), files })
      worker.code = worker.code.replaceAll('__PRECACHE__', told)
    },
  }
}

export default defineConfig({
  plugins: [react(), precache()],
  build: {
    target: 'es2022',
    rollupOptions: {
      input: { index: 'index.html', sw: 'sw/sw.ts' },
      output: {
        entryFileNames: ({ name }) => (name === 'sw' ? 'sw.js' : 'assets/[name]-[hash].js'),
      },
    },
  },
  server: {
    // `npm run dev` beside `make demo`: the page from Vite, everything else from the service.
    proxy: {
      '/api': SERVICE,
      '/demo': SERVICE,
      '/sync': { target: SERVICE, ws: true },
      '/sessions': { target: SERVICE, ws: true },
    },
  },
  test: {
    environment: 'node',
    restoreMocks: true,
    // One after another in one process, but for those that give all that follow an IndexedDB.
    projects: [
      { extends: true, test: { name: 'app', include: APP, exclude: STORED, isolate: false } },
      { extends: true, test: { name: 'stored', include: STORED } },
    ],
  },
})
