/** Where the CNI part keeps what, unless told otherwise. On a local host each of these is the host's own. */

export const defaultSocketPath = '/run/fairway/cni.sock'
/** Address journals and what `fairway cni status` shows of peers. */
export const defaultDataDir = '/var/lib/fairway/cni'
export const defaultConfDir = '/var/lib/fairway/cni/net.d'
export const defaultBinDir = '/var/lib/fairway/cni/bin'
/** The network's name in its configuration list. */
export const defaultNetworkName = 'fairway'
/** The configuration list's file within its directory. */
export const networkConfigFile = '10-fairway.conflist'
