"""What Trending must show, counted again from all events: slow, obvious, and the rule of docs/trending.md."""

from collections import defaultdict
from fractions import Fraction

from core.events import Impression, Like, Share, Unlike, VideoPublished, VideoRemoved, VideoUpdated, Watch

HOUR, DAY, TICK = 3_600_000, 86_400_000, 300_000
HOURS = {"24h": 24, "7d": 168, "30d": 720}
POINTS = {"view": 1000, "like": 500, "share": 2000}
FULL, LIGHT = Fraction(1), Fraction(1, 20)


class Recount:
    """Every event of a log in its order; an event id counts once. `regions` of viewers where events have none."""

    def __init__(self, events, regions=None):
        self.acts = defaultdict(list)  # (viewer, video, kind) -> (hour, weight, region, time, stands), in log order
        self.raw = []  # (video, region, hour, points)
        self.videos = {}
        known, past = set(), defaultdict(list)
        for event in events:
            if (event.viewer_id, event.event_id) in known:
                continue
            known.add((event.viewer_id, event.event_id))
            if isinstance(event, VideoPublished):
                self.videos[event.video_id] = [event.topic, event.upload_ms, True]
            elif isinstance(event, VideoUpdated):
                entry = self.videos[event.video_id]
                entry[0] = event.topic if event.topic is not None else entry[0]
                entry[2] = entry[2] if event.visibility is None else event.visibility == "public"
            elif isinstance(event, VideoRemoved):
                del self.videos[event.video_id]
            past[event.viewer_id].append(event)
            if isinstance(event, Watch | Like | Unlike | Share):
                self._act(event, self._weight(past[event.viewer_id], taken(event)), (regions or {}))

    def _weight(self, past, now):
        """Older than a day, 20 impressions, on two days."""
        shown = [taken(event) for event in past if isinstance(event, Impression)]
        born = min(taken(event) for event in past)
        return FULL if now - born > DAY and len(shown) >= 20 and len({t // DAY for t in shown}) >= 2 else LIGHT

    def _act(self, event, weight, regions):
        kind = "view" if isinstance(event, Watch) else "share" if isinstance(event, Share) else "like"
        region = event.viewer_region or regions.get(event.viewer_id, "")
        time, stands = min(event.time_ms, taken(event)), not isinstance(event, Unlike)
        self.acts[event.viewer_id, event.video_id, kind].append((time // HOUR, weight, region, time, stands))
        self.raw.append((event.video_id, region, time // HOUR, POINTS[kind] * (1 if stands else -1)))

    def board(self, now, mode="spec", time_range="24h", region="", category=""):
        """[(video, score)], best first."""
        shown = {v for v, (topic, _, public) in self.videos.items() if public and category in ("", topic)}
        scores = self._literal(now, region) if mode == "literal" else self._spec(now, HOURS[time_range], region)
        best = [(-score, video) for video, score in scores.items() if video in shown and score >= 100]
        return [(video, -score) for score, video in sorted(best)[:100]]

    def counting(self, now, hours, region=""):
        """{(video, kind): [(hour, weight)] of each viewer who counts}."""
        found = defaultdict(list)
        for (_, video, kind), acts in self.acts.items():
            if kind == "like":
                last = max(enumerate(acts), key=lambda act: (act[1][3], act[0]))[1]
            else:  # the first that was told of the newest hour
                last = next(act for act in acts if act[0] == max(a[0] for a in acts))
            hour, weight, where, _, stands = last
            if stands and now // HOUR - hours < hour <= now // HOUR and region in ("", where):
                found[video, kind].append((hour, weight))
        return found

    def _spec(self, now, hours, region):
        points, last = defaultdict(Fraction), defaultdict(int)
        for (video, kind), counted in self.counting(now, hours, region).items():
            points[video] += POINTS[kind] * sum(weight for _, weight in counted)
            last[video] = max(last[video], *(hour for hour, _ in counted)) if counted else last[video]
        scores = {}
        for video in points.keys() & self.videos.keys():
            idle = max(0, now - (last[video] + 1) * HOUR) // TICK
            age = max(0, now - self.videos[video][1]) // HOUR
            scores[video] = int(points[video] // 1) - 50 * age - 50 * idle
        return scores

    def _literal(self, now, region):
        hours = defaultdict(lambda: defaultdict(int))
        for video, where, hour, points in self.raw:
            if now // HOUR - 720 < hour <= now // HOUR and region in ("", where):
                hours[video][hour] += points
        scores = {}
        for video, points in hours.items():
            score = 0
            for hour in range(min(points), now // HOUR + 1):
                score += points.get(hour, 0)
                for _ in range(12 if hour < now // HOUR else now % HOUR // TICK):
                    score = score - 50 if score - 50 >= 100 else 0
            scores[video] = score
        return scores


def taken(event):
    """When our clock took it in; an import has the event's own time alone."""
    return event.ingested_ms or event.time_ms
