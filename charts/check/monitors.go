package main

import (
	"fmt"
	"strings"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"sigs.k8s.io/yaml"
)

// checkMonitors reads what is meant for Prometheus' operator into its own types; a field that they don't have is an error.
func checkMonitors(paths []string) error {
	found := 0
	for _, path := range paths {
		texts, objects, err := manifests(path)
		if err != nil {
			return err
		}
		for index, manifest := range objects {
			if !strings.HasPrefix(text(manifest["apiVersion"]), "monitoring.coreos.com/") {
				continue
			}
			var into any
			switch kind := text(manifest["kind"]); kind {
			case "PodMonitor":
				into = &monitoring.PodMonitor{}
			case "ServiceMonitor":
				into = &monitoring.ServiceMonitor{}
			case "PrometheusRule":
				into = &monitoring.PrometheusRule{}
			default:
				return fmt.Errorf("%s: unexpected kind %q", path, kind)
			}
			if err := yaml.UnmarshalStrict(texts[index], into); err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			found++
		}
	}
	fmt.Printf("%d monitors and rules\n", found)
	return nil
}
