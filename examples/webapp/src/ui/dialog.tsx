/** A question that must be answered before anything else: a modal `<dialog>`. */

import { type ReactNode, useEffect, useId, useRef } from 'react'

interface DialogProps {
  title: string
  children: ReactNode
  /** What to do, and how not to. */
  actions: ReactNode
  onClose: () => void
}

export function Dialog({ title, children, actions, onClose }: DialogProps) {
  const element = useRef<HTMLDialogElement>(null)
  const heading = useId()
  useEffect(() => {
    const dialog = element.current
    dialog?.showModal()
    return () => dialog?.close()
  }, [])
  return (
    <dialog
      ref={element}
      className="dialog"
      aria-labelledby={heading}
      onCancel={(event) => {
        event.preventDefault()
        onClose()
      }}
    >
      <h2 id={heading}>{title}</h2>
      {children}
      <div className="dialog-actions">{actions}</div>
    </dialog>
  )
}
