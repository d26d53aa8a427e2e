CREATE TABLE "server" (
	"id" integer PRIMARY KEY DEFAULT 1 NOT NULL,
	"release_key" text NOT NULL,
	"server_key" text NOT NULL,
	"place" text,
	"process" text,
	"description" text,
	"beats" bigint DEFAULT 0 NOT NULL,
	"clock_high" bigint NOT NULL
);
--> statement-breakpoint
ALTER TABLE "hosts" ADD COLUMN "accepted_sequence" bigint DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "freshness" ADD COLUMN "highest_as_of" bigint DEFAULT 0 NOT NULL;