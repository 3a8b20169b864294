/**
 * Generated orders to import, and what they must come to, computed with integers and apart from the program.
 */

export interface Document {
  readonly orderId: string
  readonly customerId: string
  readonly customerName: string
  readonly orderedAt: string
  readonly requiredAt: string
  readonly shippedAt: string | null
  readonly shipper: string
  readonly freight: string
  readonly shipTo: Readonly<Record<"name" | "street" | "city" | "country", string>> & {
    readonly region: string | null
    readonly postalCode: string | null
  }
  readonly lines: ReadonlyArray<{
    readonly productId: string
    readonly productName: string
    readonly category: string
    readonly unitPrice: string
    readonly quantity: number
    readonly discount: string
  }>
}

const countries = ["Sweden", "Norway", "Portugal", "Japan", "Côte d'Ivoire"]
const categories = ["Tea", "Coffee", "Biscuits", "Crockery"]

/** A small generator of whole numbers below a bound, the same for every run (Lehmer's, with Park and Miller's factor). */
const numbers = (seed: number) => {
  let state = seed
  return (bound: number): number => {
    state = state * 48271 % 2147483647
    return state % bound
  }
}

const hundredths = (number: number): string => `${Math.floor(number / 100)}.${String(number % 100).padStart(2, "0")}`

/** So many orders, numbered from 1; about four in five are shipped. */
export const documents = (count: number): ReadonlyArray<Document> => {
  const below = numbers(20261123)
  return Array.from({ length: count }, (_, i): Document => {
    const day = String(1 + below(20)).padStart(2, "0")
    return {
      orderId: String(i + 1),
      customerId: `C${below(20)}`,
      customerName: `Café Nº ${below(20)}`,
      orderedAt: `2026-03-${day}`,
      requiredAt: "2026-05-01",
      shippedAt: below(5) === 0 ? null : "2026-04-02",
      shipper: "Overland",
      freight: hundredths(below(5000)),
      shipTo: {
        name: "Café",
        street: "Storgatan 1",
        city: "Malmö",
        region: null,
        postalCode: "211 34",
        country: countries[below(countries.length)]!
      },
      lines: Array.from({ length: 1 + below(4) }, (_, line) => ({
        productId: `P${line}`,
        productName: `Product ${line}`,
        category: categories[below(categories.length)]!,
        unitPrice: hundredths(1 + below(20_000)),
        quantity: 1 + below(40),
        discount: hundredths(below(4) === 0 ? below(100) : 0)
      }))
    }
  })
}

/** As newline-delimited JSON. */
export const toLines = (orders: ReadonlyArray<Document>): string =>
  orders.map((order) => `${JSON.stringify(order)}\n`).join("")

const units = (decimal: string): bigint => BigInt(decimal.replace(".", ""))

/** Ten-thousandths of the unit of money, as `1234.5600`. */
const money = (tenThousandths: bigint): string => {
  const digits = String(tenThousandths).padStart(5, "0")
  return `${digits.slice(0, -4)}.${digits.slice(-4)}`
}

/** Without needless zeros, but with two decimals at least, as the program writes amounts. */
const shortest = (amount: string): string => amount.replace(/(\.\d\d\d?)0+$/, "$1").replace(/(\.\d\d)0$/, "$1")

type Lines = ReadonlyArray<Document["lines"][number]>

/** What the lines bring, in ten-thousandths of the unit of money. */
const sums = (lines: Lines) => {
  let before = 0n
  let after = 0n
  for (const { discount, quantity, unitPrice } of lines) {
    const price = units(unitPrice) * BigInt(quantity)
    before += price * 100n
    after += price * (100n - units(discount))
  }
  return { before, after }
}

/** What the lines bring, exactly. */
export const exactRevenue = (lines: Lines) => {
  const { after, before } = sums(lines)
  return { beforeDiscounts: shortest(money(before)), afterDiscounts: shortest(money(after)) }
}

/** Half a cent goes up. */
const toCents = (tenThousandths: bigint): string => shortest(money((tenThousandths + 50n) / 100n * 100n))

/** What the lines bring, as a member of the report. */
const revenue = <Group extends object>(group: Group, lines: Lines) => {
  const { after, before } = sums(lines)
  return { ...group, beforeDiscounts: toCents(before), afterDiscounts: toCents(after) }
}

const grouped = <A>(items: ReadonlyArray<A>, key: (item: A) => string): ReadonlyMap<string, ReadonlyArray<A>> => {
  const groups = new Map<string, Array<A>>()
  for (const item of items) groups.set(key(item), [...groups.get(key(item)) ?? [], item])
  return groups
}

/** The report's JSON document on the orders; its groups in the order of their names. */
export const expectedReport = (orders: ReadonlyArray<Document>) => {
  const shipped = orders.filter(({ shippedAt }) => shippedAt !== null).length
  const lines = orders.flatMap((order) => order.lines.map((line) => ({ ...line, orderId: order.orderId })))
  const totals = { orders: orders.length, placed: orders.length - shipped, shipped, cancelled: 0 }
  const countries = grouped(orders, ({ shipTo }) => shipTo.country)
  const categories = grouped(lines, ({ category }) => category)
  return {
    ...revenue(totals, lines),
    byCountry: [...countries].map(([country, group]) =>
      revenue({ country, orders: group.length }, group.flatMap((order) => order.lines))
    ).sort((left, right) => left.country < right.country ? -1 : 1),
    byCategory: [...categories].map(([category, group]) =>
      revenue({ category, orders: new Set(group.map(({ orderId }) => orderId)).size }, group)
    ).sort((left, right) => left.category < right.category ? -1 : 1)
  }
}
