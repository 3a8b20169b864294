/**
 * What is to be told once a store's turn is over: whoever hears of it runs at once, and would otherwise do so in the
 * middle of the turn.
 */
export class News {
  #waiting: Array<() => void> = []
  #telling = false

  add(tell: () => void): void {
    this.#waiting.push(tell)
  }

  /** Tells the news in their order. Who reacts at once makes more of them, which come behind those that wait. */
  tell(): void {
    if (this.#telling || this.#waiting.length === 0) return
    this.#telling = true
    for (let i = 0; i < this.#waiting.length; i++) this.#waiting[i]!()
    this.#waiting = []
    this.#telling = false
  }
}
