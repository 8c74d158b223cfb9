// Package clients lets clients that we did not write talk to the server, each
// to each: mosquitto's and the three paho command line clients, paho for
// Python, MQTT.js over TCP and over WebSocket, and paho for Go in both
// versions. What one publishes every other must receive exactly, once.
//
// A client that a machine lacks is left out with a message; with CI=true in the
// environment that is a failure.
package clients
