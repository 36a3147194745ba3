// 'fairway/testing'. In a checkout Node runs the sources as they are; below node_modules it does not strip types, so a package brings them stripped (strip.ts).
import { existsSync } from 'node:fs'

const stripped = new URL('../../dist/controlplane/testing/index.js', import.meta.url)
const isStripped = existsSync(stripped)
if (!isStripped && import.meta.url.includes('/node_modules/')) throw new Error("Cannot load 'fairway/testing': the package lacks dist/; make it with 'npm pack --ignore-scripts=false'")
export const { startApiServer } = await import(isStripped ? stripped.href : './index.ts')
