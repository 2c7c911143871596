/** A failure that a test caused or waits for: its text is all there is to say. */
export class Failure extends Error {}
