package cli

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
)

// verdict writes the answer about one gang for a person.
func (s *sheet) verdict(v *GangVerdict) {
	name := oneLine(v.Namespace + "/" + v.Name)
	if v.Fits {
		s.text(0, name+" fits "+where(v.Placement))
		s.placement(v.Placement)
		return
	}
	s.WriteString(s.painted(name+" does not fit: "+v.Refusal.Reason) + "\n")
	s.refusal(v.Refusal)
}

// where tells where a gang sits.
func where(p *v1alpha1.GangPlacement) string {
	if p.Domain == "" {
		return "across domains that nothing joins"
	}
	return fmt.Sprintf("in %s %s", p.Level, p.Domain)
}

// placement writes how good a placement is, and its nodes.
func (s *sheet) placement(p *v1alpha1.GangPlacement) {
	var spread []string
	for _, l := range p.Spread {
		spread = append(spread, fmt.Sprintf("%d %s", l.Domains, l.Level))
	}
	if len(spread) > 0 {
		s.text(2, "spread: "+strings.Join(spread, ", "))
	}
	for _, g := range p.Groups {
		text := "each slice of " + g.Name + ": in one " + string(g.Level)
		if g.Level == "" {
			text = "each slice of " + g.Name + ": in no one domain"
		}
		if g.EstimatedGbps > 0 {
			text += fmt.Sprintf(", about %d Gbps", g.EstimatedGbps)
		}
		s.text(2, text)
	}
	if p.Bandwidth != nil {
		s.text(2, "bandwidth: "+bandwidth(p.Bandwidth))
	}
	var rows [][]string
	for i := range p.Roles {
		r := &p.Roles[i]
		rows = append(rows, []string{r.Name, strconv.Itoa(int(r.Replicas)), orDash(r.ClassName), r.Hosts})
		if r.SpareHosts != "" {
			rows = append(rows, []string{"", "spare", "", r.SpareHosts})
		}
	}
	s.table(2, []string{"ROLE", "PODS", "CLASS", "NODES"}, "PODS", rows)
}

// bandwidth tells the estimate, and what limits it.
func bandwidth(b *v1alpha1.GangBandwidth) string {
	limit := ""
	if b.BottleneckDomain != "" {
		limit = fmt.Sprintf("%s %s", b.BottleneckLevel, b.BottleneckDomain)
	}
	switch {
	case b.EstimatedGbps == 0 && limit == "":
		return "not known"
	case b.EstimatedGbps == 0:
		return "not known: the links of " + limit + " have no figure"
	}
	out := fmt.Sprintf("about %d Gbps per device", b.EstimatedGbps)
	if b.BestGbps > 0 {
		out += fmt.Sprintf(" of %d at best", b.BestGbps)
	}
	if limit != "" {
		out += ", by the links of " + limit
	}
	return out
}

// refusal writes why a gang does not fit, and what would change that.
func (s *sheet) refusal(r *Refusal) {
	s.text(2, r.sentence)
	if r.Proof == "None" {
		s.text(2, "The search gave up at its bound: a placement may exist.")
	}
	var levels, excluded [][]string
	for _, l := range r.Levels {
		levels = append(levels, []string{l.Level, orDash(l.Domain), strconv.Itoa(l.Found), strconv.Itoa(l.Needed)})
	}
	s.table(2, []string{"LEVEL", "BEST DOMAIN", "FOUND", "NEEDED"}, "FOUND NEEDED", levels)
	for _, e := range r.Excluded {
		excluded = append(excluded, []string{strconv.Itoa(e.Nodes), e.Reason})
	}
	s.table(2, []string{"NODES", "LEFT OUT BECAUSE"}, "NODES", excluded)
	if len(r.Remedies) == 0 {
		return
	}
	if r.Reason == v1alpha1.ReasonUnsatisfiable {
		s.text(2, "The empty fleet would hold it with one of:")
	} else {
		s.text(2, "It would fit with one of:")
	}
	for _, remedy := range r.Remedies {
		lines := wrap(oneLine(remedy.Text), " ", s.width-4)
		s.WriteString("  - " + strings.Join(lines, "\n    ") + "\n")
	}
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
