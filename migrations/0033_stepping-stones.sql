CREATE TABLE "stepping_stones" (
	"host" text NOT NULL,
	"name" text NOT NULL,
	"release_id" text NOT NULL,
	"sequence" bigint NOT NULL,
	"toplevel" text NOT NULL,
	CONSTRAINT "stepping_stones_host_name_pk" PRIMARY KEY("host","name")
);
--> statement-breakpoint
ALTER TABLE "stepping_stones" ADD CONSTRAINT "stepping_stones_host_hosts_host_fk" FOREIGN KEY ("host") REFERENCES "public"."hosts"("host") ON DELETE cascade ON UPDATE cascade;--> statement-breakpoint
ALTER TABLE "stepping_stones" ADD CONSTRAINT "stepping_stones_release_id_releases_id_fk" FOREIGN KEY ("release_id") REFERENCES "public"."releases"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "stepping_stones_release" ON "stepping_stones" USING btree ("release_id");