"""Callback URLs that the product must refuse, in all known spellings.

`{p}` is a port with a listener, `{s}` the scheme. Workers get each URL with `http`, the form and
the API with `https`, so that the scheme alone is never the reason to refuse it.
"""

from webhooks.sending.http_client import ErrorKind

NOWHERE, BLOCKED = ErrorKind.INVALID_REQUEST, ErrorKind.BLOCKED_ADDRESS

# TABLE has the error with which a worker refuses each URL that is already in the database.
_SPELLINGS = """
    2130706433 0x7f000001 0X7F000001 0x7f.1 0x7f.0.0.1 0177.0.0.1 0177.1 017700000001 127.1
    127.0.1 0 00 0x0 127.000.000.001 127.0.0.1. 127.0.0.1.. 1.2.3.4.5 127.0.0.256 4294967297
    127。0。0。1 127．0．0．1 127｡0｡0｡1 ①②⑦.⓪.⓪.① １２７.０.０.１ ١٢٧.0.0.1 १२७.0.0.1 127.0.0.١
    ⓛⓞⓒⓐⓛⓗⓞⓢⓣ ｌｏｃａｌｈｏｓｔ 127.0.0.1%00 127.0.0.1%2f %31%32%37.0.0.1 %6cocalhost
""".split()  # noqa: SIM905
_ADDRESSES = """
    127.0.0.1 127.0.0.2 127.1.2.3 127.255.255.254 0.0.0.0 10.0.0.1 10.255.255.255 172.16.0.1
    172.31.255.254 192.168.0.1 100.64.0.1 100.100.100.200 198.18.0.1 198.19.255.254 192.0.0.1
    192.0.2.1 192.88.99.1 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.250 240.0.0.1
    255.255.255.255 169.254.169.254 169.254.170.2 168.63.129.16
    [::1] [::] [0:0:0:0:0:0:0:1] [::ffff:127.0.0.1] [::ffff:7f00:1] [::FFFF:127.0.0.1]
    [::ffff:169.254.169.254] [::ffff:0:127.0.0.1] [::127.0.0.1] [::7f00:1] [64:ff9b::7f00:1]
    [64:ff9b:1::1] [2002:7f00:1::] [2001:0:7f00:1::] [2001:db8::1] [100::1] [100:0:0:1::1]
    [fe80::1] [fec0::1] [fc00::1] [fd00::1] [fd00:ec2::254] [ff02::1] [ff0e::1] [4000::1]
    localhost LOCALHOST localhost. a.localhost localhost.localdomain intranet printer.local
    metadata.google.internal metadata nas.home.arpa
""".split()  # noqa: SIM905

TABLE: dict[str, ErrorKind] = {
    **{f"{{s}}://{host}:{{p}}/": NOWHERE for host in _SPELLINGS},
    **{f"{{s}}://{host}:{{p}}/": BLOCKED for host in _ADDRESSES},
    # Parsers disagree about the host of these.
    "{s}://127.0.0.1:{p}\\@example.com/": NOWHERE,
    "{s}://example.com\\@127.0.0.1:{p}/": NOWHERE,
    "{s}://example.com@127.0.0.1:{p}/": NOWHERE,
    "{s}://user:pass@127.0.0.1:{p}/": NOWHERE,
    "{s}://127.0.0.1:{p}@example.com/": NOWHERE,
    "{s}://@127.0.0.1:{p}/": NOWHERE,
    "{s}://127.0.0.1:{p}#@example.com/": NOWHERE,
    "{s}://127.0.0.1:{p}?@example.com/": BLOCKED,
    "{s}://127.0.0.1:{p}/@example.com/": BLOCKED,
    "{s}://127.0.0.1:{p};example.com/": NOWHERE,
    "{s}://[::1]example.com:{p}/": NOWHERE,
    "{s}://[::1%25lo]:{p}/": NOWHERE,
    "{s}://[fe80::1%25lo]:{p}/": NOWHERE,
    "{s}://[127.0.0.1]:{p}/": NOWHERE,
    "{s}://[::1:{p}/": NOWHERE,
    "{s}://::1:{p}/": NOWHERE,
    "{s}://exam\tple.com:{p}/": NOWHERE,
    "{s}://127.0.0.1\t:{p}/": NOWHERE,
    "{s}://127.0.0.1:{p}\r\nX-Injected: 1/": NOWHERE,
    "{s}://127.0.0.1 :{p}/": NOWHERE,
    "{s}://127.0.0.1:{p}/a b": NOWHERE,
    "{s}://127.0.0.\u200b1:{p}/": NOWHERE,
    "{s}://127.0.0.1\u2025:{p}/": NOWHERE,
    "{s}://\u202e127.0.0.1:{p}/": NOWHERE,
    "{s}://127.0.0.1:65536/": NOWHERE,
    "{s}://127.0.0.1:0/": NOWHERE,
    "{s}://127.0.0.1:-1/": NOWHERE,
    "{s}://127.0.0.1:８０/": NOWHERE,
    "{s}://": NOWHERE,
    "{s}:///": NOWHERE,
    "{s}://:{p}/": NOWHERE,
    "{s}:127.0.0.1:{p}/": NOWHERE,
    "{s}:/127.0.0.1:{p}/": NOWHERE,
    "{s}:\\\\127.0.0.1:{p}/": NOWHERE,
    "//127.0.0.1:{p}/": NOWHERE,
    "127.0.0.1:{p}": NOWHERE,
    "file:///etc/passwd": NOWHERE,
    "file://127.0.0.1:{p}/etc/passwd": NOWHERE,
    "gopher://127.0.0.1:{p}/_POST": NOWHERE,
    "ftp://127.0.0.1:{p}/": NOWHERE,
    "dict://127.0.0.1:{p}/info": NOWHERE,
    "ws://127.0.0.1:{p}/": NOWHERE,
    "http+unix://%2Fvar%2Frun%2Fdocker.sock/": NOWHERE,
    "javascript://127.0.0.1:{p}/%0aalert(1)": NOWHERE,
    "data:text/html,x": NOWHERE,
    # Labels and names that the domain name system does not allow.
    "{s}://" + "a" * 64 + ".example.com:{p}/": NOWHERE,
    "{s}://" + "a." * 127 + "com:{p}/": NOWHERE,
    "{s}://" + "ü" * 63 + ".example.com:{p}/": NOWHERE,
    "{s}://.example.com:{p}/": NOWHERE,
    "{s}://example..com:{p}/": NOWHERE,
    "{s}://-example.com:{p}/": NOWHERE,
}
# PostgreSQL cannot store these, so workers never get them.
UNSTORABLE = [
    "{s}://127.0.0.1\x00.example.com:{p}/",
    "{s}://127.0.0.1:{p}/" + "a" * 2048,
]
# Names for which a foreign name server returns an address of our network.
NAMES = [
    "127.0.0.1.nip.example",
    "rebound.example",
    "www.example.com",
    "a_b.example",
    "bücher.example",
]
