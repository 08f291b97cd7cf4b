package agent

import "testing"

func TestCampaignAndLook(t *testing.T) {
	s := newServer(t)
	if p := s.want(404, "GET", "/v1/elections/web", ""); p["type"] != "urn:locked:no-leader" {
		t.Errorf("problem %v", p)
	}
	s.want(503, "GET", "/v1/elections/web/leader", "")
	a := s.campaign("web", "a")
	token := a.await("select").number("token")
	b := s.campaign("web", "b", "ttl", "60")
	b.awaitWhere("change", func(e event) bool { return e.data["id"] == "a" })
	b.waits()

	leader := s.want(200, "GET", "/v1/elections/web", "")
	if leader["path"] != "/web" || leader["id"] != "a" || leader["value"] != "value of a" || int64(leader["token"].(float64)) != token {
		t.Errorf("leader %v", leader)
	}
	candidates := s.want(200, "GET", "/v1/elections/web/candidates", "")["candidates"].([]any)
	if len(candidates) != 2 || candidates[1].(map[string]any)["id"] != "b" {
		t.Errorf("candidates %v", candidates)
	}
	s.want(200, "GET", "/v1/elections/web/leader", "")
	s.want(200, "GET", "/v1/elections/web/leader?id=a", "")
	s.want(503, "GET", "/v1/elections/web/leader?id=b", "")
	if list := s.want(200, "GET", "/v1/elections?prefix=we", "")["elections"].([]any); len(list) != 1 {
		t.Errorf("elections %v", list)
	}
	if list := s.want(200, "GET", "/v1/elections?prefix=/x", "")["elections"].([]any); len(list) != 0 {
		t.Errorf("elections %v", list)
	}

	a.close()
	if next := b.await("select"); next.number("token") <= token || next.number("good_for_ms") == 0 || next.data["leads"] != true {
		t.Errorf("select %v", next.data)
	}
	s.want(204, "DELETE", "/v1/elections/web/campaign?candidacy="+b.candidacy, "")
	s.want(404, "GET", "/v1/elections/web", "")
}
