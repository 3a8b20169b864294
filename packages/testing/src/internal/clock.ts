/**
 * The clock, where a test is about its absence.
 */

/**
 * Waits until the clock shows another millisecond. What is pure does not notice; what reads the clock in secret comes to
 * something else behind it.
 */
export const tick = (): void => {
  const before = Date.now()
  while (Date.now() === before);
}
