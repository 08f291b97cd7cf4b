#!/usr/bin/env python3
"""A candidate of a locked agent on this machine, with Python's standard library alone.

    candidate.py PATH ID VALUE

It prints "lead TOKEN" when its work may begin, and "stop REASON" when it must have ended.
"""

import http.client
import json
import os
import sys
import time
from urllib.parse import quote, urlencode, urlsplit


class Candidate:
    def __init__(self, agent, path, **params):
        self.host = urlsplit(agent).netloc
        self.url = "/v1/elections/" + quote(path, safe="")
        self.params = params
        self.until = 0  # uptime in milliseconds up to which we may believe that we lead

    def leads(self):
        """Ask this before each thing that only the leader may do."""
        return time.clock_gettime(time.CLOCK_BOOTTIME) * 1000 < self.until

    def run(self, on_lead, on_stop):
        """Compete until the connection or the agent's word has run out. Closing the connection hands over at once, so
        it is closed only when on_stop has returned."""
        conn = http.client.HTTPConnection(self.host, timeout=10)
        leading, why, key = False, "the connection has ended", ""
        try:
            conn.request("POST", self.url + "/campaign", urlencode(self.params),
                         {"Content-Type": "application/x-www-form-urlencoded"})
            sock = conn.sock
            answer = conn.getresponse()
            if answer.status != 200:
                raise ConnectionError(json.load(answer)["detail"])
            event, silence = "", 60.0
            while True:
                left = self.until / 1000 - time.clock_gettime(time.CLOCK_BOOTTIME)
                sock.settimeout(max(left, 0.001) if leading else silence)
                line = answer.readline().decode().rstrip("\n")
                if not line and answer.isclosed():
                    break
                name, _, value = line.partition(": ")
                if name == "event":
                    event = value
                if name != "data":
                    continue
                data = json.loads(value)
                if event == "candidacy":
                    key, silence = data["candidacy"], 3 * data["heartbeat_ms"] / 1000
                    continue
                if event == "end":
                    continue  # the connection ends now; what was promised before is still good
                if data["leads"] and "good_until_uptime_ms" not in data:
                    raise ConnectionError("the agent is not on this machine, or behind a proxy: its clock is not known here")
                self.until = data.get("good_until_uptime_ms", 0)
                if event == "select" and self.leads():
                    leading, token = True, data["token"]
                    on_lead(token)
                elif leading and not self.leads():
                    leading = False
                    on_stop(data.get("reason", "the agent has not heard of etcd in time"))
                    self.release(key, token)
        except (TimeoutError, OSError, http.client.HTTPException) as err:
            why = "the agent is silent" if isinstance(err, TimeoutError) else str(err)
        finally:
            if leading:
                on_stop(why)
            self.until = 0
            conn.close()
        return why

    def release(self, key, token):
        """Say that our work has ended, so that the next one need not wait until we could not believe any more."""
        conn = http.client.HTTPConnection(self.host, timeout=5)
        try:
            conn.request("POST", self.url + "/release", json.dumps({"candidacy": key, "token": token}), {"Content-Type": "application/json"})
            conn.getresponse().read()
        except OSError:
            pass  # then it does wait
        finally:
            conn.close()


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    path, name, value = sys.argv[1:]
    agent = os.environ.get("LOCKED_AGENT", "http://127.0.0.1:7070")
    me = Candidate(agent, path, id=name, value=value, ttl=os.environ.get("LOCKED_TTL", "10s"))
    while True:
        why = me.run(lambda token: print("lead", token, flush=True), lambda reason: print("stop", reason, flush=True))
        print("again in a second:", why, file=sys.stderr)
        time.sleep(1)


if __name__ == "__main__":
    main()
