/** A small line of numbers over time. The label says in words what it shows last. */

interface SparklineProps {
  /** Oldest first; null: not known then. */
  points: readonly (number | null)[]
  /** What it shows, for those who do not see it. */
  label: string
  /** The line has this much room at least: noise of nothing is no mountain. */
  atLeast?: number
}

const WIDTH = 240
const HEIGHT = 48
const INSET = 2
const HEADROOM = 1.15

export function Sparkline({ points, label, atLeast = 1 }: SparklineProps) {
  const most = Math.max(...points.map((each) => each ?? 0))
  const runs = runsOf(points, Math.max(atLeast, HEADROOM * most))
  return (
    <svg
      className="sparkline"
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      preserveAspectRatio="none"
      role="img"
      aria-label={label}
    >
      {runs.map((run) => (
        <g key={run[0]?.[0]}>
          <path className="sparkline-area" d={areaOf(run)} />
          <polyline className="sparkline-line" points={run.map((at) => at.join()).join(' ')} />
        </g>
      ))}
    </svg>
  )
}

type Point = readonly [number, number]

/** Points in the picture; a gap in what is known is a gap in the line. */
export function runsOf(
  points: readonly (number | null)[],
  most: number,
): readonly (readonly Point[])[] {
  const runs: Point[][] = []
  const step = WIDTH / Math.max(1, points.length - 1)
  for (const [n, value] of points.entries()) {
    if (value === null) continue
    const at: Point = [
      round(n * step),
      round(HEIGHT - INSET - (value / most) * (HEIGHT - 2 * INSET)),
    ]
    if (n > 0 && points[n - 1] !== null) runs.at(-1)?.push(at)
    else runs.push([at])
  }
  return runs
}

function areaOf(run: readonly Point[]): string {
  const [first, last] = [run[0], run.at(-1)]
  if (first === undefined || last === undefined) return ''
  return `M${first[0]},${HEIGHT} ${run.map((at) => `L${at.join()}`).join(' ')} L${last[0]},${HEIGHT} Z`
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}
